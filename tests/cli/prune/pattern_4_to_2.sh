# exit 2
hone-prune "$TESTDATA"/tiny-llama --pattern 4:2
