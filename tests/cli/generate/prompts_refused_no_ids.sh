# exit 3
printf '{"prompt": "a"}\n\n%s\n' '{"token_ids": []}' > many
hone-generate "$TESTDATA"/tiny-llama --prompts many
