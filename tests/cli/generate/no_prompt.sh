# exit 2
hone-generate "$TESTDATA"/tiny-llama < /dev/null
