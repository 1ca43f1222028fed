# A compressed directory is read back and computes as the stream does, on both backends.
hone-quantize "$TESTDATA"/tiny-llama --scheme w3a16 -o dir
hone-generate dir --token-ids 5,6,7 -n 8 > answer
hone-quantize "$TESTDATA"/tiny-llama --scheme w3a16 | hone-generate --token-ids 5,6,7 -n 8 | cmp - answer
hone-generate dir --device ref --compute int8 --token-ids 5,6,7 -n 8 | cmp - answer
