# What draws nothing is worth a word; the text is that of a greedy run.
hone-generate "$TESTDATA"/tiny-llama -p Hi -n 4 --top-k 5 --top-p 0.9 --min-p 0.1 --seed 7 > with
hone-generate "$TESTDATA"/tiny-llama -p Hi -n 4 | cmp - with
