# bytes_after is what is written.
hone-prune "$TESTDATA"/tiny-llama --sparsity 0.5 --dry-run --json | field "d['bytes_after']" > promised
hone-prune "$TESTDATA"/tiny-llama --sparsity 0.5 -o out
hone-benchmark out --no-speed --json | field "d['models'][0]['stored_bytes']" | cmp - promised
