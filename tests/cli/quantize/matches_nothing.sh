hone-quantize "$TESTDATA"/tiny-llama --scheme w8a8 --set dwon_proj=none -o out
