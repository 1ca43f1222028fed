# A model is never written to a terminal.
# exit 2
script -qec true /dev/null > /dev/null 2>&1 < /dev/null || { echo 'no pseudo-terminal here' >&2; exit 77; }
script -qec 'hone-quantize "$TESTDATA"/tiny-llama --scheme w8a8 2> err < /dev/null' /dev/null
