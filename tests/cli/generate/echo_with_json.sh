# exit 2
hone-generate "$TESTDATA"/tiny-llama -p Hi --echo --json
