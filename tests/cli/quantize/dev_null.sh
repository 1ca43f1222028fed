hone-quantize "$TESTDATA"/tiny-llama --scheme w8a8 -o /dev/null
test -c /dev/null
