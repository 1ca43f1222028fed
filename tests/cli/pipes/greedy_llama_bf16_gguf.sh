# And as a GGUF file.
hone-prune "$TESTDATA"/tiny-llama-bf16 --sparsity 0 -o model.gguf
hone-generate model.gguf --prompts <(expected prompts tiny-llama-bf16) | expected ids | diff - <(expected answers tiny-llama-bf16)
