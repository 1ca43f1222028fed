# The official implementation's tokens.
hone-generate "$TESTDATA"/tiny-llama --prompts <(expected prompts tiny-llama) --device ref | expected ids | diff - <(expected answers tiny-llama)
