# exit 2
hone-generate --tensor-parallel 2 --token-ids 1 < "$TESTDATA"/tiny-llama/model.safetensors
