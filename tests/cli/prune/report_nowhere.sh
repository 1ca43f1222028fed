# exit 4
# Found out before the work, not after; a directory that the work makes is a place.
hone-prune "$TESTDATA"/tiny-llama --sparsity 0.5 -o out --report out/report.json 2> /dev/null
test -s out/report.json
trap 'test ! -e other' EXIT
hone-prune "$TESTDATA"/tiny-llama --sparsity 0.5 -o other --report nowhere/report.json
