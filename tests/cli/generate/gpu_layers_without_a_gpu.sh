# "auto" goes on, on the CPU, and says so.
export HONE_CUDA_PLUGIN=/no/such/plugin.so
hone-generate "$TESTDATA"/tiny-llama -p a -n 8 --gpu-layers 1 > text
hone-generate "$TESTDATA"/tiny-llama -p a -n 8 --device cpu | diff text -
