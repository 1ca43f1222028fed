# The official implementation's tokens.
hone-generate "$TESTDATA"/tiny-llama-dynamic --ctx 64 --prompts <(expected prompts tiny-llama-dynamic) --device cpu | expected ids | diff - <(expected answers tiny-llama-dynamic)
