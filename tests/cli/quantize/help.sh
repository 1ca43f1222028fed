# Help goes to standard output and names examples and exit codes.
hone-quantize --help > help
grep -q '^usage: hone-quantize' help && grep -q '^Examples:' help && grep -q ' 141 ' help
hone-quantize -h | cmp - help
