# The official implementation's tokens.
hone-generate "$TESTDATA"/tiny-bloom --prompts <(expected prompts tiny-bloom) --device ref | expected ids | diff - <(expected answers tiny-bloom)
