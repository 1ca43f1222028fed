# Through a pipe the model is the same.
hone-prune "$TESTDATA"/tiny-qwen3 --sparsity 0 | hone-generate --prompts <(expected prompts tiny-qwen3) | expected ids | diff - <(expected answers tiny-qwen3)
