hone-generate "$TESTDATA"/tiny-llama --token-ids 1,2,3,4,5,6,7,8 --ctx 10 -n 50 --json | field "d['finish_reason'], len(d['ids'])"
