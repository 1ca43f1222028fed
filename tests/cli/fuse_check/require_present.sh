hone-fuse-check "$TESTDATA"/tiny-llama --no-run --require gated-matmul --require qkv
