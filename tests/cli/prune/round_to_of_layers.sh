# exit 2
hone-prune "$TESTDATA"/tiny-llama --pattern layers --sparsity 0.5 --round-to 4 -o out
