# exit 2
hone-quantize "$TESTDATA"/tiny-llama --scheme w8a8 --json
