# And as a GGUF file.
hone-prune "$TESTDATA"/tiny-llama3 --sparsity 0 -o model.gguf
hone-generate model.gguf --prompts <(expected prompts tiny-llama3) | expected ids | diff - <(expected answers tiny-llama3)
