# exit 4
hone-benchmark "$TESTDATA"/tiny-llama --no-speed --text nowhere
