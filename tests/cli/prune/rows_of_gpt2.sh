# The tensors shrink, config.json says so, and every container gives the same model back.
hone-prune "$TESTDATA"/tiny-gpt2 --pattern rows --sparsity 0.5 -o dir
hone-prune "$TESTDATA"/tiny-gpt2 --pattern rows --sparsity 0.5 -o model.gguf
test $(stat -c %s dir/model.safetensors) -lt $(stat -c %s "$TESTDATA"/tiny-gpt2/model.safetensors)
hone-generate dir --token-ids 5,6,7 -n 8 > from-dir
hone-generate model.gguf --token-ids 5,6,7 -n 8 | cmp - from-dir
hone-prune "$TESTDATA"/tiny-gpt2 --pattern rows --sparsity 0.5 | hone-generate --device ref --token-ids 5,6,7 -n 8 | cmp - from-dir
