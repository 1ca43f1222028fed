# Of every four neighbours two stay; the file is dense for other programs.
hone-prune "$TESTDATA"/tiny-llama --pattern 2:4 -o out --report r.json
test "$(field "[t['sparsity'] for t in d['tensors']] == [0.5] * 14" < r.json)" = True
tensors out/model.safetensors | grep -c 'proj.weight F32 '
