# A prompt from standard input reaches all ranks; the text is that of one rank.
hone-generate "$TESTDATA"/storyteller -p 'Once upon a time' -n 24 > one
printf 'Once upon a time' | ranks 2 hone-generate "$TESTDATA"/storyteller --tensor-parallel 2 -n 24 > two
cmp one two
