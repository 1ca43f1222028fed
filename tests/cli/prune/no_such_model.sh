# exit 4
hone-prune does-not-exist --sparsity 0.5 -v
