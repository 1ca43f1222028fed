# exit 4
# What is enough for an int8 cache of 4096 positions is too little for one of f32.
hone-generate "$TESTDATA"/tiny-llama -p a -n 1 --ctx 4096 --max-memory 1500K --kv-type int8 > /dev/null
hone-generate "$TESTDATA"/tiny-llama -p a -n 1 --ctx 4096 --max-memory 1500K
