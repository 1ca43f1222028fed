# The official implementation's tokens.
hone-generate "$TESTDATA"/tiny-gpt2 --prompts <(expected prompts tiny-gpt2) --device cpu | expected ids | diff - <(expected answers tiny-gpt2)
