# Through a pipe the model is the same.
hone-prune "$TESTDATA"/tiny-mistral --sparsity 0 | hone-generate --prompts <(expected prompts tiny-mistral) | expected ids | diff - <(expected answers tiny-mistral)
