# With a threshold the report gives the strength (|w|-T)/(|w|+T): kept weights above 0, others below.
hone-prune "$TESTDATA"/tiny-llama --threshold 0.1 -o out --report r.json
field "sorted(d['total']['strength'])" < r.json
test "$(field "0 < d['total']['sparsity'] < 1" < r.json)" = True
