hone-prune "$TESTDATA"/tiny-llama --sparsity 0.5 --dry-run --json > plan.json
test "$(field "d['bytes_before']" < plan.json)" = 123520
test "$(field "len(d['tensors'])" < plan.json)" = 14
