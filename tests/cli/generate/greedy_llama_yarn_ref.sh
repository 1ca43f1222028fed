# The official implementation's tokens.
hone-generate "$TESTDATA"/tiny-llama-yarn --prompts <(expected prompts tiny-llama-yarn) --device ref | expected ids | diff - <(expected answers tiny-llama-yarn)
