# Through a pipe the model is the same.
hone-prune "$TESTDATA"/tiny-qwen2 --sparsity 0 | hone-generate --prompts <(expected prompts tiny-qwen2) | expected ids | diff - <(expected answers tiny-qwen2)
