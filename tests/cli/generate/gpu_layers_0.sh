# None on the GPU: the CPU's text, with a GPU or without.
hone-generate "$TESTDATA"/tiny-llama -p a -n 8 --device cpu > cpu
hone-generate "$TESTDATA"/tiny-llama -p a -n 8 --gpu-layers 0 | diff cpu -
