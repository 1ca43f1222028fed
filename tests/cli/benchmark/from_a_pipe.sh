hone-quantize "$TESTDATA"/tiny-llama --scheme w8a8 | hone-benchmark --prefill 8 --decode none --repetitions 2 --json | field "d['models'][0]['bits_per_weight'] < 32, d['results'][0]['model']"
