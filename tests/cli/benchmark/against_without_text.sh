# exit 2
hone-benchmark "$TESTDATA"/tiny-llama --against "$TESTDATA"/tiny-llama
