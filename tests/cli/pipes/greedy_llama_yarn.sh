# Through a pipe the model is the same.
hone-prune "$TESTDATA"/tiny-llama-yarn --sparsity 0 | hone-generate --prompts <(expected prompts tiny-llama-yarn) | expected ids | diff - <(expected answers tiny-llama-yarn)
