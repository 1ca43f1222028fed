# exit 2
hone-generate "$TESTDATA"/tiny-llama -p a -n 2 --top-p 0
