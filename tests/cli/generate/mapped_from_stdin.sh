# A redirected file is a model like a piped one.
hone-prune "$TESTDATA"/tiny-llama --sparsity 0 -o model.safetensors
hone-generate -p 'The cat' -n 8 < model.safetensors > redirected
cat model.safetensors | hone-generate -p 'The cat' -n 8 | cmp - redirected
hone-generate model.safetensors -p 'The cat' -n 8 | cmp - redirected
