# exit 3
printf '{"prompt": "a"}\n\n%s\n' 'hello' > many
hone-generate "$TESTDATA"/tiny-llama --prompts many
