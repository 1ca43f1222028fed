# A file is not replaced by a directory.
# exit 4
echo precious > holiday
hone-quantize "$TESTDATA"/tiny-llama --scheme w8a8 -o holiday
