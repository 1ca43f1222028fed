# exit 2
hone-quantize "$TESTDATA"/tiny-llama --scheme w4a16 --bits 7
