# exit 2
hone-fuse-check "$TESTDATA"/tiny-llama --require nope
