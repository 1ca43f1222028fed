hone-prune "$TESTDATA"/tiny-llama --pattern ffn --sparsity 0.5 | hone-quantize --scheme q8_0 -o model.gguf
hone-prune "$TESTDATA"/tiny-llama --pattern ffn --sparsity 0.5 | hone-quantize --scheme q8_0 | hone-generate --token-ids 5,6,7 -n 8 > piped
hone-generate model.gguf --token-ids 5,6,7 -n 8 | cmp - piped
