# The text ends before the stop string, wherever it lies in the tokens.
text=$(hone-generate "$TESTDATA"/tiny-gpt2 --token-ids 5,6,7 -n 24 --json | field "d['text']")
stop=$(python3 -c 'import sys; t = sys.argv[1]; print(t[len(t) // 2:][:2])' "$text")
hone-generate "$TESTDATA"/tiny-gpt2 --token-ids 5,6,7 -n 24 --stop "$stop" --json > a.json
test "$(field "d['finish_reason']" < a.json)" = stop-string
python3 -c 'import json, sys; a = json.load(open("a.json"))["text"]; t, s = sys.argv[1:]; sys.exit(a != t[:t.index(s)])' "$text" "$stop"
