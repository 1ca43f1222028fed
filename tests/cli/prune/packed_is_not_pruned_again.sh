# exit 3
hone-prune "$TESTDATA"/tiny-llama --pattern 2:4 2> /dev/null | hone-prune --sparsity 0.6 -o out
