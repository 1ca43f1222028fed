# And as a GGUF file.
hone-prune "$TESTDATA"/tiny-llama --sparsity 0 -o model.gguf
hone-generate model.gguf --prompts <(expected prompts tiny-llama) | expected ids | diff - <(expected answers tiny-llama)
