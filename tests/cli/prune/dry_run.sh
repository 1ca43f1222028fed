# Says what would be, writes nothing.
hone-prune "$TESTDATA"/tiny-llama --sparsity 0.5 -o out --report r.json --dry-run > text
test "$(ls)" = text
grep -q '^model before  *124 kB' text && grep -q '^peak memory' text
