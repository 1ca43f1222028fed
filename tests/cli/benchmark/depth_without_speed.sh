# exit 2
hone-benchmark "$TESTDATA"/tiny-llama --no-speed --depth 64
