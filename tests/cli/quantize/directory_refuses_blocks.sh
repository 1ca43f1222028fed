# exit 2
hone-quantize "$TESTDATA"/tiny-llama --scheme q4_0 -o dir
