# exit 2
hone-generate "$TESTDATA"/tiny-llama --data-parallel 2 --token-ids 1
