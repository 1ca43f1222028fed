# exit 1
hone-fuse-check "$TESTDATA"/tiny-llama --no-run --require bias > table
