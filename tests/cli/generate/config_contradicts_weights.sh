# exit 3
cp -r "$TESTDATA"/tiny-llama model && sed -i 's/"num_hidden_layers": 2/"num_hidden_layers": 3/' model/config.json
hone-generate model --token-ids 1
