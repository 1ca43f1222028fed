# -v says why: no plug-in in this build, none that opens, or no driver.
export HONE_CUDA_PLUGIN=/no/such/plugin.so
hone-generate "$TESTDATA"/tiny-llama -p a -n 1 -v > /dev/null
