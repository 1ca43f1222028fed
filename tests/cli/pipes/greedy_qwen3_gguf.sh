# And as a GGUF file.
hone-prune "$TESTDATA"/tiny-qwen3 --sparsity 0 -o model.gguf
hone-generate model.gguf --prompts <(expected prompts tiny-qwen3) | expected ids | diff - <(expected answers tiny-qwen3)
