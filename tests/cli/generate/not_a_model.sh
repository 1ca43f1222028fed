# exit 3
hone-generate "$TESTDATA"/tiny-llama/config.json -p a
