# exit 3
: > empty
hone-benchmark "$TESTDATA"/tiny-llama --no-speed --text empty
