# exit 2
hone-generate "$TESTDATA"/tiny-gpt2 --token-ids 1 --ctx 100000
