# Each tool leaves its line in the stream, in order, without paths or dates.
hone-prune "$TESTDATA"/tiny-llama --sparsity 0.25 | hone-prune --sparsity 0.5 > stream
head -c 100000 stream | grep -a -o 'hone-prune [0-9.]* --sparsity 0.25 tiny-llama\|hone-prune [0-9.]* tiny-llama --sparsity 0.25' | head -1 | grep -q .
