# Through a pipe the model is the same.
hone-prune "$TESTDATA"/tiny-gpt2 --sparsity 0 | hone-generate --prompts <(expected prompts tiny-gpt2) | expected ids | diff - <(expected answers tiny-gpt2)
