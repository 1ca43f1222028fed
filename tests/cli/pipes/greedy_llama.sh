# Through a pipe the model is the same.
hone-prune "$TESTDATA"/tiny-llama --sparsity 0 | hone-generate --prompts <(expected prompts tiny-llama) | expected ids | diff - <(expected answers tiny-llama)
