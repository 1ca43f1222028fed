# Decoded among others, a prompt gives what it gives alone, drawn or greedy.
for n in 9 1 30 2 17; do printf '{"token_ids": [%s], "max_tokens": 12, "temperature": %s}\n' $(seq -s, 1 $n) $((n % 2)); done > many
hone-generate "$TESTDATA"/tiny-qwen3 --prompts many --batch 4 --seed 3 | expected ids > together
hone-generate "$TESTDATA"/tiny-qwen3 --prompts many --batch 1 --seed 3 | expected ids | diff - together
for n in 1 2 3 4 5; do sed -n ${n}p many > one; hone-generate "$TESTDATA"/tiny-qwen3 --prompts one --seed 3 | expected ids; done | diff - together
