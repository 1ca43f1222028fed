hone-quantize "$TESTDATA"/tiny-llama --scheme w8a8 --include mlp --exclude layers.1 -o out --report r.json
field "sorted(t['name'] for t in d['tensors'])" < r.json
