hone-fuse-check "$TESTDATA"/tiny-llama --device ref --no-time
