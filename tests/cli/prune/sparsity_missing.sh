# exit 2
hone-prune "$TESTDATA"/tiny-llama
