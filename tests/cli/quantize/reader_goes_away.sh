# The next program left: 141, without a word.
set +o pipefail
hone-quantize random:qwen3-0.6b --scheme w8a8 2> err | head -c 100 > /dev/null
code=${PIPESTATUS[0]}
test "$code" = 141 && test ! -s err
