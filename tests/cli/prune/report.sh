hone-prune "$TESTDATA"/tiny-llama --sparsity 0.5 -o out --report report.json
test "$(field "len(d['tensors'])" < report.json)" = 14
field "d['tool']" < report.json | grep -q '^hone-prune [0-9.]* tiny-llama'
