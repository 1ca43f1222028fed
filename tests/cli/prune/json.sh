# The report on standard output, the same as in a file.
hone-prune "$TESTDATA"/tiny-llama --sparsity 0.5 -o out --report r.json --json > said.json
cmp said.json r.json && field d < said.json > /dev/null
