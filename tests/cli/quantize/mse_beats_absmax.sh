# The range of least square error has no larger error than the widest.
for range in absmax mse; do
  hone-quantize "$TESTDATA"/tiny-llama --scheme w3a16 --range $range -o /dev/null --report $range.json
  field "sum(t['mean_square_error'] for t in d['tensors'])" < $range.json
done > errors
sort -rg errors | cmp - errors
