# exit 4
hone-generate "$TESTDATA"/tiny-llama -f nowhere
