# Through a pipe the model is the same.
hone-prune "$TESTDATA"/tiny-bloom --sparsity 0 | hone-generate --prompts <(expected prompts tiny-bloom) | expected ids | diff - <(expected answers tiny-bloom)
