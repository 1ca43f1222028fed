# exit 2
hone-generate "$TESTDATA"/tiny-llama -p a -f b
