# The official implementation's tokens.
hone-generate "$TESTDATA"/tiny-gpt2-noprefix --prompts <(expected prompts tiny-gpt2-noprefix) --device ref | expected ids | diff - <(expected answers tiny-gpt2-noprefix)
