# exit 2
hone-benchmark "$TESTDATA"/tiny-llama --stride 16
