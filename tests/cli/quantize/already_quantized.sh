# exit 3
hone-quantize "$TESTDATA"/tiny-llama --scheme w8a8 | hone-quantize --scheme w4a16 -o out
