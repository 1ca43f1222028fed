hone-prune "$TESTDATA"/tiny-gpt2 --sparsity 0 -o copy
hone-generate copy --prompts <(expected prompts tiny-gpt2) | expected ids | diff - <(expected answers tiny-gpt2)
