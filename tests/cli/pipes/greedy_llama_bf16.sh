# Through a pipe the model is the same.
hone-prune "$TESTDATA"/tiny-llama-bf16 --sparsity 0 | hone-generate --prompts <(expected prompts tiny-llama-bf16) | expected ids | diff - <(expected answers tiny-llama-bf16)
