# exit 2
hone-benchmark "$TESTDATA"/tiny-llama --repetitions 0
