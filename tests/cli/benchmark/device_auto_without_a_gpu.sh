export HONE_CUDA_PLUGIN=/no/such/plugin.so
hone-benchmark "$TESTDATA"/tiny-llama --no-speed -v > /dev/null
