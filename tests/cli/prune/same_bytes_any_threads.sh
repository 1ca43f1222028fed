hone-prune "$TESTDATA"/tiny-qwen2 --sparsity 0.5 --threads 1 > one
hone-prune "$TESTDATA"/tiny-qwen2 --sparsity 0.5 --threads 3 | cmp - one
