# From the header alone: a real model's shape in no time.
hone-quantize random:llama-3.1-8b --scheme w8a16 --dry-run --json > plan.json
field "int(d['tensors'][0]['bits_per_weight']), len(d['tensors']), d['peak_memory'] < 300e6" < plan.json
