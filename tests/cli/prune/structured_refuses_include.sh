# exit 2
hone-prune "$TESTDATA"/tiny-llama --pattern ffn --sparsity 0.5 --include mlp
