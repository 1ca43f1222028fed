# exit 4
hone-prune "$TESTDATA"/tiny-llama --sparsity 0.5 -o none/here.safetensors
