# Prompts of many lengths, decoded together: answers in the order of the lines, ids as given.
for n in 9 1 30 2 17 4; do printf '{"id": "p%d", "token_ids": [%s], "max_tokens": %d}\n' $n $(seq -s, 1 $n) $n; done > many
hone-generate "$TESTDATA"/tiny-mistral --prompts many --batch 3 > answers
for n in 1 2 3 4 5 6; do sed -n ${n}p answers | field "d['id'], len(d['ids'])"; done
