# And as a GGUF file.
hone-prune "$TESTDATA"/tiny-bloom --sparsity 0 -o model.gguf
hone-generate model.gguf --prompts <(expected prompts tiny-bloom) | expected ids | diff - <(expected answers tiny-bloom)
