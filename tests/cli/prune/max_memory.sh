# exit 4
hone-prune "$TESTDATA"/tiny-llama --sparsity 0.5 --max-memory 1k -o out
