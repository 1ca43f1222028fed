hone-generate "$TESTDATA"/tiny-llama -p 'The cat' -n 16 > greedy
hone-generate "$TESTDATA"/tiny-llama -p 'The cat' -n 16 --temperature 2 --top-k 1 | cmp - greedy
hone-generate "$TESTDATA"/tiny-llama -p 'The cat' -n 16 --temperature 2 --min-p 1 | cmp - greedy
