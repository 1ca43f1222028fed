hone-quantize "$TESTDATA"/tiny-qwen2 --scheme w8a8 --threads 1 > one
hone-quantize "$TESTDATA"/tiny-qwen2 --scheme w8a8 --threads 3 | cmp - one
