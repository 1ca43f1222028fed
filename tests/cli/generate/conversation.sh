# On a terminal, without a prompt: a line, an answer.
script -qec true /dev/null > /dev/null 2>&1 < /dev/null || { echo 'no pseudo-terminal here' >&2; exit 77; }
printf 'The cat\n\004' | script -qec "hone-generate '$TESTDATA/tiny-llama' -n 3" /dev/null > said
grep -q 'Ctrl-D ends' said && grep -c '^> ' said | grep -qx 2
