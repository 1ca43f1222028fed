# exit 2
hone-benchmark --threads 1,2 < "$TESTDATA"/tiny-llama/model.safetensors
