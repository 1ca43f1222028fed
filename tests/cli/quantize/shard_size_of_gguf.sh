# exit 2
hone-quantize "$TESTDATA"/tiny-llama --scheme q8_0 -o x.gguf --shard-size 1G
