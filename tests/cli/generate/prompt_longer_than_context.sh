# exit 2
hone-generate "$TESTDATA"/tiny-llama --token-ids 1,2,3,4,5,6,7,8 --ctx 4
