hone-generate "$TESTDATA"/tiny-llama -p a -n 1 --kv-type bf16 --device cpu -v > /dev/null
