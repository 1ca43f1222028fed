# exit 2
hone-quantize "$TESTDATA"/tiny-llama --scheme w9a9
