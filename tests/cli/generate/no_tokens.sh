hone-generate "$TESTDATA"/tiny-llama -p 'The cat' -n 0
