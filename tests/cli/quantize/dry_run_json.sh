hone-quantize "$TESTDATA"/tiny-llama --scheme w8a8 --dry-run --json > plan.json
test "$(field "d['bytes_before']" < plan.json)" = 123520
test "$(field "len(d['tensors'])" < plan.json)" = 14
