# exit 3
cp -r "$TESTDATA"/tiny-llama model && sed -i 's/"vocab_size": 288,/"vocab_size": 288, "vocab_size": 300,/' model/config.json
hone-generate model --token-ids 1
