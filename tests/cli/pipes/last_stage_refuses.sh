# A usage error at the end closes the pipe: the stages before end quietly with 141.
set +o pipefail
hone-prune random:gpt2 --pattern 2:4 2> a | hone-quantize --scheme w4a16 2> b | hone-generate --no-such-option 2> c || codes="${PIPESTATUS[*]}"
test "$codes" = '141 141 2' && test ! -s a
