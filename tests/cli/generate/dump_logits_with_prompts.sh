# exit 2
hone-generate "$TESTDATA"/tiny-llama --prompts x.jsonl --json --dump-logits
