hone-benchmark "$TESTDATA"/tiny-llama --prefill 8 --decode none --repetitions 1 --load copy --json > copy.json
field "d['models'][0]['weights']" < copy.json
