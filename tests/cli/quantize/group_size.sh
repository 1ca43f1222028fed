hone-quantize random:gpt2 --scheme w4a16 --group-size 32 --dry-run --json | field "sorted(set(t['scheme'] for t in d['tensors']))"
