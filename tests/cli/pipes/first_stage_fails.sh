# Each stage says one line and leaves; the last one's exit code tells.
set +o pipefail
hone-prune nowhere --sparsity 0.5 2> a | hone-quantize --scheme w4a16 2> b | hone-generate -p a 2> c || codes="${PIPESTATUS[*]}"
test "$codes" = '4 3 3'
cat a b c
