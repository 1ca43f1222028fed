# exit 2
hone-benchmark "$TESTDATA"/tiny-llama --no-speed --text "$TESTDATA"/text/english.txt --max-windows 1 --stride -1
