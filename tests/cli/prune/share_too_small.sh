# exit 2
hone-prune "$TESTDATA"/storyteller --pattern ffn --sparsity 0.01 -o out
