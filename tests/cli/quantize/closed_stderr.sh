# With standard error closed, messages must not land in the output file.
hone-quantize "$TESTDATA"/tiny-llama --scheme w8a8 -o want.safetensors
hone-quantize "$TESTDATA"/tiny-llama --scheme w8a8 -o got.safetensors 2>&- < /dev/null
cmp want.safetensors got.safetensors
