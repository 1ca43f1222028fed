# exit 3
hone-quantize "$TESTDATA"/tiny-llama --scheme w8a8 2> /dev/null | hone-prune --sparsity 0.5 -o pruned
