# The official implementation's tokens.
hone-generate "$TESTDATA"/tiny-llama-yarn --prompts <(expected prompts tiny-llama-yarn) --device cpu | expected ids | diff - <(expected answers tiny-llama-yarn)
