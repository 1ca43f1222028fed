# A model is never written to a terminal.
# exit 2
script -qec true /dev/null > /dev/null 2>&1 < /dev/null || { echo 'no pseudo-terminal here' >&2; exit 77; }
script -qec 'hone-prune "$TESTDATA"/tiny-llama --sparsity 0.5 2> err < /dev/null' /dev/null
