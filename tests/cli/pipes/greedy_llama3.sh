# Through a pipe the model is the same.
hone-prune "$TESTDATA"/tiny-llama3 --sparsity 0 | hone-generate --prompts <(expected prompts tiny-llama3) | expected ids | diff - <(expected answers tiny-llama3)
