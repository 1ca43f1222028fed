# exit 3
hone-prune "$TESTDATA"/tiny-llama --sparsity 0.5 2> /dev/null > stream
head -c 60000 stream | hone-quantize --scheme w8a8 -o out
