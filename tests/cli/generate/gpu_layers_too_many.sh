# exit 4
# Two layers' caches do not fit, one's do.
emulated_gpu hone-generate "$TESTDATA"/tiny-llama -p a -n 2 --ctx 1500000 --device cuda
