hone-generate "$TESTDATA"/tiny-llama -p 'The cat' -n 1 --echo | head -c 7
