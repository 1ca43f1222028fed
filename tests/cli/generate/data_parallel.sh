# Prompts spread over ranks: the bytes of one process, in the order of the prompts.
for n in 9 1 30 2 17; do printf '{"id": "p%s", "token_ids": [%s], "max_tokens": %s, "temperature": 1}\n' $n $(seq -s, 1 $n) $n; done > many
hone-generate "$TESTDATA"/tiny-llama --prompts many > one
ranks 2 hone-generate "$TESTDATA"/tiny-llama --prompts many --data-parallel 2 > two
cmp one two
