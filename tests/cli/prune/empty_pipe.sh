# exit 3
hone-prune --sparsity 0.5 < /dev/null
