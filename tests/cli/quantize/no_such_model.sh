# exit 4
hone-quantize does-not-exist --scheme w8a8 -v
