# A model is quantized on its way into memory; what runs is what the scheme stores.
hone-benchmark "$TESTDATA"/storyteller --scheme w4a16 --prefill 8 --decode none --repetitions 1 --json > r.json 2> /dev/null
field "d['models'][0]['model'].endswith('storyteller w4a16'), d['models'][0]['int8_products'], d['models'][0]['bits_per_weight'] < 8" < r.json
