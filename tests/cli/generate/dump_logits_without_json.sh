# exit 2
hone-generate "$TESTDATA"/tiny-llama --token-ids 1 --dump-logits
