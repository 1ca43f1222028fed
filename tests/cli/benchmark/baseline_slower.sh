# Against a baseline a million times as fast: exit 1, and the line says SLOWER.
hone-benchmark "$TESTDATA"/tiny-llama --prefill 8 --decode none --repetitions 2 --json > now.json
field "__import__('json').dumps({'results': [r | {k: 1e6 * r[k] for k in ('tokens_per_second', 'low', 'high')} for r in d['results']]})" < now.json > fast.json
hone-benchmark "$TESTDATA"/tiny-llama --prefill 8 --decode none --repetitions 2 --baseline fast.json > /dev/null 2> said && exit 9 || code=$?
test $code = 1 && grep -q SLOWER said
