# exit 2
hone-prune "$TESTDATA"/tiny-llama --sparsity 0 -o model.safetensors 2> note
hone-generate -f - < model.safetensors
