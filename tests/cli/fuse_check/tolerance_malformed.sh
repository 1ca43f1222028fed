# exit 2
hone-fuse-check "$TESTDATA"/tiny-llama --tolerance -1
