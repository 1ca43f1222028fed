# exit 2
hone-generate "$TESTDATA"/tiny-llama -p a -n 1 --sparse on
