hone-prune "$TESTDATA"/tiny-llama --sparsity 0.5 -o /dev/null
test -c /dev/null
