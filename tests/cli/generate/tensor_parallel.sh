# Two ranks give the official implementation's tokens, as one does, and one of them speaks.
expected prompts tiny-qwen3 > many
ranks 2 hone-generate "$TESTDATA"/tiny-qwen3 --tensor-parallel 2 --prompts many > answers
expected ids < answers > ids
expected answers tiny-qwen3 | diff - ids
