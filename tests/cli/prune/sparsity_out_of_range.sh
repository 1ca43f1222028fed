# exit 2
hone-prune "$TESTDATA"/tiny-llama --sparsity 1.5
