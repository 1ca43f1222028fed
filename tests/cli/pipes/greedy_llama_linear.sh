# Through a pipe the model is the same.
hone-prune "$TESTDATA"/tiny-llama-linear --sparsity 0 | hone-generate --prompts <(expected prompts tiny-llama-linear) | expected ids | diff - <(expected answers tiny-llama-linear)
