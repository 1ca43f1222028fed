# Fewer bits, more noise; the worst element lies inside its tensor.
for scheme in w8a16 w4a16 w2a16; do
  hone-quantize "$TESTDATA"/tiny-llama --scheme $scheme -o /dev/null --report $scheme.json
  field "min(t['snr_db'] for t in d['tensors'])" < $scheme.json
  field "all(0 <= t['worst']['row'] < t['shape'][0] and 0 <= t['worst']['column'] < t['shape'][1] for t in d['tensors'])" < $scheme.json >> inside
done > snr
sort -rn snr | cmp - snr
test "$(sort -u inside)" = True
