# From the header alone: a real model's shape at once.
hone-fuse-check random:llama-3.1-8b --no-run --json | field "d['passed'], len([c for c in d['candidates'] if c['fused']])"
