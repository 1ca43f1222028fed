# An empty text begins with the begin token alone.
: > empty
hone-generate "$TESTDATA"/tiny-llama -f empty -n 2 --json | field "d['prompt_ids']"
