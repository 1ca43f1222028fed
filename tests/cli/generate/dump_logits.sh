hone-generate "$TESTDATA"/tiny-llama --token-ids 1,2,3 -n 1 --json --dump-logits > a.json
field "len(d['logits']), d['logits'].index(max(d['logits'])) == d['ids'][0]" < a.json
