# A model is never written to a terminal.
# exit 2
command -v script > /dev/null || { echo 'no program script' >&2; exit 77; }
script -qec 'hone-quantize "$TESTDATA"/tiny-llama --scheme w8a8 2> err < /dev/null' /dev/null
