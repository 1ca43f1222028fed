# exit 4
hone-generate "$TESTDATA"/tiny-llama -p a -n 8 > /dev/full
