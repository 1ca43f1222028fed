hone-quantize "$TESTDATA"/tiny-llama --scheme w8a16 | hone-fuse-check --no-time --json | field "d['passed']"
