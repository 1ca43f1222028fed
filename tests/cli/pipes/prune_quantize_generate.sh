# 2:4 packed and then int4, against zeros that stay in place: exactly the same tokens.
hone-prune "$TESTDATA"/tiny-llama --pattern 2:4 | hone-quantize --scheme w4a16 | hone-generate --token-ids 5,6,7 -n 24 > piped
hone-prune "$TESTDATA"/tiny-llama --pattern 2:4 -o pruned
hone-quantize pruned --scheme w4a16 -o small
hone-generate small --token-ids 5,6,7 -n 24 | cmp - piped
hone-prune "$TESTDATA"/tiny-llama --pattern 2:4 --dense | hone-quantize --scheme w4a16 | hone-generate --token-ids 5,6,7 -n 24 | cmp - piped
