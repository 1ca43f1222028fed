# exit 2
hone-prune "$TESTDATA"/tiny-llama --threshold 0.1 --sparsity 0.5
