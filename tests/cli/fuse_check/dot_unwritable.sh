# exit 4
hone-fuse-check "$TESTDATA"/tiny-llama --no-run --dot nowhere/graph.dot
