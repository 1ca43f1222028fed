# exit 2
hone-prune "$TESTDATA"/tiny-llama --pattern columns --sparsity 0.5
