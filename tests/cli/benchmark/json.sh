hone-benchmark "$TESTDATA"/tiny-llama --prefill 8,16 --decode 4 --repetitions 2 --json > b.json
field "[r['test'] for r in d['results']], all(r['low'] <= r['tokens_per_second'] <= r['high'] for r in d['results'])" < b.json
field "sorted(d['models'][0])[0], d['models'][0]['stored_bytes'], d['peaks'][0]['read_gigabytes_per_second'] > 0" < b.json
