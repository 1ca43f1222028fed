hone-prune "$TESTDATA"/tiny-llama --sparsity 0.5 --include mlp --exclude layers.1 -o out --report r.json
field "sorted(t['name'] for t in d['tensors'])" < r.json
