# exit 2
hone-fuse-check "$TESTDATA"/tiny-llama --no-run --tolerance 1
