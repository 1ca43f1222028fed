# The next program left: 141, without a word.
set +o pipefail
hone-prune random:qwen3-0.6b --sparsity 0.5 2> err | head -c 100 > /dev/null
code=${PIPESTATUS[0]}
test "$code" = 141 && test ! -s err
