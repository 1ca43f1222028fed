# exit 2
trap 'test ! -e out.safetensors' EXIT
hone-prune "$TESTDATA"/tiny-llama --sparsity 0.5 -o out.safetensors --report ./out.safetensors
