# A file is not replaced by a directory.
# exit 4
echo precious > holiday
hone-prune "$TESTDATA"/tiny-llama --sparsity 0.5 -o holiday
