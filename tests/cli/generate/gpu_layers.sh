# The CPU's answers, one by one and together; -v says what runs where.
expected prompts tiny-qwen2 > many
emulated_gpu hone-generate "$TESTDATA"/tiny-qwen2 --prompts many --gpu-layers 1 --kv-type f32 > answers
expected ids < answers > ids
expected answers tiny-qwen2 | diff - ids
emulated_gpu hone-generate "$TESTDATA"/tiny-qwen2 --token-ids 5,6 -n 4 --ctx 16 --gpu-layers 1 -v
