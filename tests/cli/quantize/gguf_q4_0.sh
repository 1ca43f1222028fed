# A GGUF file is read back and computes as the stream does, on both backends.
hone-quantize "$TESTDATA"/tiny-llama --scheme q4_0 -o model.gguf
hone-generate model.gguf --token-ids 5,6,7 -n 8 > answer
hone-quantize "$TESTDATA"/tiny-llama --scheme q4_0 | hone-generate --token-ids 5,6,7 -n 8 | cmp - answer
hone-generate model.gguf --device ref --compute int8 --token-ids 5,6,7 -n 8 | cmp - answer
