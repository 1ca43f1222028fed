hone-quantize "$TESTDATA"/tiny-llama --scheme f16 -o model.gguf
hone-generate model.gguf -p 'The cat sat.' -n 4 --json | field "d['prompt_ids']" > ids
hone-generate "$TESTDATA"/tiny-llama -p 'The cat sat.' -n 4 --json | field "d['prompt_ids']" | cmp - ids
