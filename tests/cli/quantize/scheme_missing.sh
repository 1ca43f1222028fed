# exit 2
hone-quantize "$TESTDATA"/tiny-llama
