# Help goes to standard output and names examples and exit codes.
hone-fuse-check --help > help
grep -q '^usage: hone-fuse-check' help && grep -q '^Examples:' help && grep -q ' 141 ' help
hone-fuse-check -h | cmp - help
