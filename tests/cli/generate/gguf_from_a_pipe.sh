hone-prune "$TESTDATA"/tiny-llama --sparsity 0 -o model.gguf
cat model.gguf | hone-generate -p 'The cat' -n 8 > piped
hone-generate model.gguf -p 'The cat' -n 8 | cmp - piped
