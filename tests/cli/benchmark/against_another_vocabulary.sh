# exit 3
hone-benchmark "$TESTDATA"/tiny-llama --against "$TESTDATA"/tiny-llama3 --no-speed --text "$TESTDATA"/text/english.txt
