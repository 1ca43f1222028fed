# The official implementation's tokens.
hone-generate "$TESTDATA"/tiny-llama3 --prompts <(expected prompts tiny-llama3) --device cpu | expected ids | diff - <(expected answers tiny-llama3)
