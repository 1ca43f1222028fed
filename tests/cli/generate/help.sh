# Help goes to standard output and names examples and exit codes.
hone-generate --help > help
grep -q '^usage: hone-generate' help && grep -q '^Examples:' help && grep -q ' 141 ' help
hone-generate -h | cmp - help
