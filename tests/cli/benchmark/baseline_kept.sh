# Against a baseline a million times as slow, so that a busy machine decides nothing.
hone-benchmark "$TESTDATA"/tiny-llama --prefill 8 --decode none --repetitions 2 --json > now.json
field "__import__('json').dumps({'results': [r | {k: r[k] / 1e6 for k in ('tokens_per_second', 'low', 'high')} for r in d['results']]})" < now.json > slow.json
hone-benchmark "$TESTDATA"/tiny-llama --prefill 8 --decode none --repetitions 2 --baseline slow.json > /dev/null 2> said
grep -v 'is the machine busy?$' said >&2
