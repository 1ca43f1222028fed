# On a terminal, without a prompt: a line, an answer.
command -v script > /dev/null || { echo 'no program script' >&2; exit 77; }
printf 'The cat\n\004' | script -qec "hone-generate '$TESTDATA/tiny-llama' -n 3" /dev/null > said
grep -q 'Ctrl-D ends' said && grep -c '^> ' said | grep -qx 2
