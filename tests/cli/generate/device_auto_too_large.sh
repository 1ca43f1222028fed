emulated_gpu hone-generate "$TESTDATA"/tiny-llama -p a -n 1 --ctx 1500000 -v > /dev/null
