# The official implementation's tokens.
hone-generate "$TESTDATA"/tiny-llama-linear --prompts <(expected prompts tiny-llama-linear) --device ref | expected ids | diff - <(expected answers tiny-llama-linear)
