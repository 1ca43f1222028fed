# exit 3
hone-generate "$TESTDATA"/tiny-llama/model.safetensors -p a
