# The official implementation's tokens.
hone-generate "$TESTDATA"/tiny-qwen2 --prompts <(expected prompts tiny-qwen2) --device ref | expected ids | diff - <(expected answers tiny-qwen2)
