# A model in two parts; its shares are of what both can do in turns.
emulated_gpu hone-benchmark "$TESTDATA"/tiny-llama --prefill 4 --decode 2 --repetitions 1 --gpu-layers 1 --json > split.json
field "[(p['backend'], p['first_layer'], p['layers']) for p in d['models'][0]['parts']]" < split.json
field "all(p['weight_bytes'] > 0 and p['kv_bytes_limit'] > 0 for p in d['models'][0]['parts'])" < split.json
field "all(0 < r['share_of_bandwidth'] and 'watts' in r for r in d['results'])" < split.json
