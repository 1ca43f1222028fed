# The official implementation's tokens.
hone-generate "$TESTDATA"/tiny-mistral --prompts <(expected prompts tiny-mistral) --device ref | expected ids | diff - <(expected answers tiny-mistral)
