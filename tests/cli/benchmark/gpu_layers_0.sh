hone-benchmark "$TESTDATA"/tiny-llama --no-speed --gpu-layers 0 --json > b.json
field "[(p['backend'], p['first_layer'], p['layers']) for p in d['models'][0]['parts']]" < b.json
