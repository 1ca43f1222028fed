# exit 3
printf '{"prompt": "a"}\n\n%s\n' '{"prompt": "a", "max_tokens": 1.5}' > many
hone-generate "$TESTDATA"/tiny-llama --prompts many
