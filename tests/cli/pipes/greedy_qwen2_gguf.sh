# And as a GGUF file.
hone-prune "$TESTDATA"/tiny-qwen2 --sparsity 0 -o model.gguf
hone-generate model.gguf --prompts <(expected prompts tiny-qwen2) | expected ids | diff - <(expected answers tiny-qwen2)
