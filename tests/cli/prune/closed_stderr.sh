# With standard error closed, messages must not land in the output file.
hone-prune "$TESTDATA"/tiny-llama --sparsity 0.5 -o want.safetensors
hone-prune "$TESTDATA"/tiny-llama --sparsity 0.5 -o got.safetensors 2>&- < /dev/null
cmp want.safetensors got.safetensors
