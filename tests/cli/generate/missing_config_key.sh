# exit 3
cp -r "$TESTDATA"/tiny-llama model && sed -i '/hidden_size/d' model/config.json
hone-generate model --token-ids 1
