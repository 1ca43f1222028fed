# slow
# The held-out figure that its README writes down, from another program.
hone-benchmark "$TESTDATA"/storyteller --no-speed --text "$TESTDATA"/storyteller/heldout.txt --split '<|endoftext|>' --json > q.json
field "'%.4f' % d['quality'][0]['perplexity'], d['quality'][0]['tokens']" < q.json
