mkfifo pipe
hone-prune "$TESTDATA"/tiny-llama --sparsity 0.5 -o pipe &
hone-generate pipe --token-ids 5,6,7 -n 8 > one
wait
hone-prune "$TESTDATA"/tiny-llama --sparsity 0.5 | hone-generate --token-ids 5,6,7 -n 8 | cmp - one
