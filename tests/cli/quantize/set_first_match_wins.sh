hone-quantize "$TESTDATA"/tiny-llama --scheme w8a8 --set 'layers.0.mlp.down=none' --set 'down=fp8' -o out --report r.json
field "sorted((t['name'][13:], t['scheme'].split()[0]) for t in d['tensors'] if 'mlp.d' in t['name'])" < r.json
