# exit 2
hone-generate random:gpt9 --token-ids 1
