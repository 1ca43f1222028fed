# exit 2
hone-generate "$TESTDATA"/tiny-llama -p a -n 2 --repetition-penalty 0
