# And as a GGUF file.
hone-prune "$TESTDATA"/tiny-llama-linear --sparsity 0 -o model.gguf
hone-generate model.gguf --prompts <(expected prompts tiny-llama-linear) | expected ids | diff - <(expected answers tiny-llama-linear)
