# 141, without a word.
set +o pipefail
hone-generate random:"$TESTDATA"/tiny-llama/config.json --token-ids 1 -n 100000 --ctx 100001 2> err | head -c 1 > /dev/null
code=${PIPESTATUS[0]}
test "$code" = 141 && test ! -s err
