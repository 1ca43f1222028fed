hone-generate "$TESTDATA"/tiny-llama -p 'The cat' -n 5 --json > a.json
field "len(d['ids']), len(d['logprobs']), d['finish_reason'], all(x < 0 for x in d['logprobs']), sorted(d['timings'])[0]" < a.json
