# As in the cache of huggingface_hub: every file is a link.
mkdir cache && for f in "$TESTDATA"/tiny-llama/*; do ln -s "$f" cache/; done
hone-generate cache --token-ids 1,2 -n 4 > text
hone-generate "$TESTDATA"/tiny-llama --token-ids 1,2 -n 4 | cmp - text
