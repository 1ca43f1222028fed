# Weights of all tensors compete: half of all go, but not half of each.
hone-prune "$TESTDATA"/tiny-llama --sparsity 0.5 --scope global -o out --report r.json
test "$(field "round(d['total']['sparsity'], 3)" < r.json)" = 0.5
test "$(field "len(set(round(t['sparsity'], 4) for t in d['tensors'])) > 1" < r.json)" = True
