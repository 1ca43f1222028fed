# exit 3
cp -r "$TESTDATA"/tiny-llama-bf16 model && rm model/model-00002-of-00003.safetensors
hone-generate model --token-ids 1
