# exit 2
hone-benchmark --no-such-option
