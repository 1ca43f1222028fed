# One line draws: the options have an effect, and nothing is said.
echo '{"prompt": "Hi", "temperature": 0.7}' > p.jsonl
hone-generate "$TESTDATA"/tiny-llama --prompts p.jsonl -n 4 --top-k 5 > out
test $(wc -l < out) = 1
