# The model's end token ends the text and is not shown.
hone-generate "$TESTDATA"/storyteller -p 'Once upon a time' -n 500 --json > a.json
field "d['finish_reason'], d['text'].rstrip()[-1] in '.!\"', '<|' in d['text']" < a.json
