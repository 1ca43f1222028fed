# Says what would be, writes nothing.
hone-quantize "$TESTDATA"/tiny-llama --scheme w8a8 -o out --report r.json --dry-run > text
test "$(ls)" = text
grep -q '^model before  *124 kB' text && grep -q '^peak memory' text
