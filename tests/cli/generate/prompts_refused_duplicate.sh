# exit 3
printf '{"prompt": "a"}\n\n%s\n' '{"prompt": "a", "prompt": "b"}' > many
hone-generate "$TESTDATA"/tiny-llama --prompts many
