# exit 3
printf '{"prompt": "a"}\n\n%s\n' '{"token_ids": [-1]}' > many
hone-generate "$TESTDATA"/tiny-llama --prompts many
