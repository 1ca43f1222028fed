# And as a GGUF file.
hone-prune "$TESTDATA"/tiny-llama-yarn --sparsity 0 -o model.gguf
hone-generate model.gguf --prompts <(expected prompts tiny-llama-yarn) | expected ids | diff - <(expected answers tiny-llama-yarn)
