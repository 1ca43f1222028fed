hone-prune "$TESTDATA"/tiny-llama --sparsity 50% -o a --report a.json
test "$(field "d['total']['sparsity']" < a.json)" = 0.5
