# With a stride every token but the first is predicted once.
hone-benchmark "$TESTDATA"/tiny-llama --no-speed --text "$TESTDATA"/text/english.txt --context 32 --stride 16 --json > s.json
ids=$(hone-generate "$TESTDATA"/tiny-llama -f "$TESTDATA"/text/english.txt --ctx 100000 -n 0 --json | field "len(d['prompt_ids'])")
field "d['quality'][0]['tokens'], d['quality'][0]['protocol']" < s.json
echo $ids > ids
test $(field "d['quality'][0]['tokens']" < s.json) -ge $((ids - 2))
