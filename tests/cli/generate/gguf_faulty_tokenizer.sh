# exit 3
hone-quantize "$TESTDATA"/tiny-gpt2 --scheme f16 -o model.gguf 2> /dev/null
sed -i 's/gpt-2/gpt-X/' model.gguf
hone-quantize model.gguf --scheme f32 -o out.safetensors
hone-generate model.gguf --token-ids 5 -n 1
hone-generate model.gguf -p Hello
