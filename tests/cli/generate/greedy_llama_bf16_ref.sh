# The official implementation's tokens.
hone-generate "$TESTDATA"/tiny-llama-bf16 --prompts <(expected prompts tiny-llama-bf16) --device ref | expected ids | diff - <(expected answers tiny-llama-bf16)
