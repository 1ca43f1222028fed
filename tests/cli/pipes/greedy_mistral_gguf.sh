# And as a GGUF file.
hone-prune "$TESTDATA"/tiny-mistral --sparsity 0 -o model.gguf
hone-generate model.gguf --prompts <(expected prompts tiny-mistral) | expected ids | diff - <(expected answers tiny-mistral)
