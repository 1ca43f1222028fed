hone-quantize "$TESTDATA"/tiny-llama --scheme w8a8 | hone-quantize --scheme w4a16 --requantize -o out
hone-generate out --token-ids 5,6,7 -n 4
