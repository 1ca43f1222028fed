# exit 2
hone-generate "$TESTDATA"/tiny-llama -p Hi --device cpu --no-cuda-graph
