# The report on standard output, the same as in a file.
hone-quantize "$TESTDATA"/tiny-llama --scheme w8a8 -o out --report r.json --json > said.json
cmp said.json r.json && field d < said.json > /dev/null
