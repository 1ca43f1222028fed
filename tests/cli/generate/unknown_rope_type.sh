# exit 3
cp -r "$TESTDATA"/tiny-llama3 model && sed -i 's/"rope_type": "llama3"/"rope_type": "longrope"/' model/config.json
hone-generate model --token-ids 1
