# exit 2
hone-generate "$TESTDATA"/tiny-llama -p a -n 2 --gpu-layers some
