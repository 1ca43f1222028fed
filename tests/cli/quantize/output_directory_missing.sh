# exit 4
hone-quantize "$TESTDATA"/tiny-llama --scheme w8a8 -o none/here.safetensors
