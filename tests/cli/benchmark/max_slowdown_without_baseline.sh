# exit 2
hone-benchmark "$TESTDATA"/tiny-llama --max-slowdown 10%
