# exit 2
hone-prune "$TESTDATA"/tiny-llama --sparsity 0.5 --norm l1 -o out
