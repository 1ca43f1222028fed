# A pattern that meets no tensor is a mistake, not a copy.
# exit 2
hone-quantize "$TESTDATA"/tiny-llama --scheme w8a8 --include no_such_tensor -o out
