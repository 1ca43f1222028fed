# exit 2
hone-fuse-check "$TESTDATA"/tiny-llama --tokens 900000000000
