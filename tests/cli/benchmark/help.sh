# Help goes to standard output and names examples and exit codes.
hone-benchmark --help > help
grep -q '^usage: hone-benchmark' help && grep -q '^Examples:' help && grep -q ' 141 ' help
hone-benchmark -h | cmp - help
