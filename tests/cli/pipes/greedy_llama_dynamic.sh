# Through a pipe the model is the same.
hone-prune "$TESTDATA"/tiny-llama-dynamic --sparsity 0 | hone-generate --ctx 64 --prompts <(expected prompts tiny-llama-dynamic) | expected ids | diff - <(expected answers tiny-llama-dynamic)
