# exit 4
hone-quantize "$TESTDATA"/tiny-llama --scheme w8a8 --max-memory 1k -o out
