: > none
hone-generate "$TESTDATA"/tiny-llama --prompts none
