# exit 2
hone-generate "$TESTDATA"/tiny-llama -p 'The cat' -n -1
