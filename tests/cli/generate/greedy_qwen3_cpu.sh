# The official implementation's tokens.
hone-generate "$TESTDATA"/tiny-qwen3 --prompts <(expected prompts tiny-qwen3) --device cpu | expected ids | diff - <(expected answers tiny-qwen3)
