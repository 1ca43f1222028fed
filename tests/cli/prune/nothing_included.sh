# A pattern that meets no tensor is a mistake, not a copy.
# exit 2
hone-prune "$TESTDATA"/tiny-llama --sparsity 0.5 --include no_such_tensor -o out
