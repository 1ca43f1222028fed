hone-prune "$TESTDATA"/tiny-llama --sparsity 0.5 --exclude dwon_proj -o out
