# exit 2
hone-quantize --no-such-option
