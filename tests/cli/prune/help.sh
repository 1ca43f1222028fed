# Help goes to standard output and names examples and exit codes.
hone-prune --help > help
grep -q '^usage: hone-prune' help && grep -q '^Examples:' help && grep -q ' 141 ' help
hone-prune -h | cmp - help
