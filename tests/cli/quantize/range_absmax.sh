hone-quantize "$TESTDATA"/tiny-llama --scheme w4a16-asym --range absmax --threads 1 > one
hone-quantize "$TESTDATA"/tiny-llama --scheme w4a16-asym --range absmax --threads 3 | cmp - one
hone-generate --token-ids 5,6,7 -n 4 < one
