hone-generate "$TESTDATA"/tiny-llama -p 'The cat' -n 1 --echo > out
head -c 7 out
