# And as a GGUF file.
hone-prune "$TESTDATA"/tiny-gpt2-noprefix --sparsity 0 -o model.gguf
hone-generate model.gguf --prompts <(expected prompts tiny-gpt2-noprefix) | expected ids | diff - <(expected answers tiny-gpt2-noprefix)
