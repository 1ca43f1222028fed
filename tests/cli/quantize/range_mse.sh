hone-quantize "$TESTDATA"/tiny-llama --scheme w4a16-asym --range mse --threads 1 > one
hone-quantize "$TESTDATA"/tiny-llama --scheme w4a16-asym --range mse --threads 3 | cmp - one
hone-generate --token-ids 5,6,7 -n 4 < one
