# exit 2
hone-generate "$TESTDATA"/tiny-llama --tensor-parallel 2 --token-ids 1
