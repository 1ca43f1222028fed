hone-prune "$TESTDATA"/storyteller --sparsity 0 -o model.gguf
hone-generate model.gguf --ignore-eos --prompts <(expected prompts storyteller) | expected ids | diff - <(expected answers storyteller)
