hone-quantize "$TESTDATA"/tiny-llama --scheme w8a8 -o out --report report.json
test "$(field "len(d['tensors'])" < report.json)" = 14
field "d['tool']" < report.json | grep -q '^hone-quantize [0-9.]* tiny-llama'
