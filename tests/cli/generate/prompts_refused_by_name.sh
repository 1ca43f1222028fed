# exit 2
# Before any is answered.
{ echo '{"token_ids": [1], "id": "a"}'; echo '{"token_ids": [1, 288], "id": "b"}'; } > prompts.jsonl
hone-generate "$TESTDATA"/tiny-llama --prompts prompts.jsonl
