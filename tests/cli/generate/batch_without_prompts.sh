# exit 2
hone-generate "$TESTDATA"/tiny-llama -p Hi --batch 4
