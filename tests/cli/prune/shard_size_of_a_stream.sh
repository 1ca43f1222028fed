# exit 2
hone-prune "$TESTDATA"/tiny-llama --pattern 2:4 --shard-size 1G
