# The official implementation's tokens.
hone-generate "$TESTDATA"/tiny-bloom --prompts <(expected prompts tiny-bloom) --device cpu | expected ids | diff - <(expected answers tiny-bloom)
