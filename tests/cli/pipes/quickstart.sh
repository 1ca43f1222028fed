# The README's pipe, and the same through directories: the same story.
S=$TESTDATA/storyteller
hone-prune $S --sparsity 0.5 --pattern 2:4 | hone-quantize --scheme w4a16 | hone-generate -p 'Once upon a time' -n 80 > piped
hone-prune $S --pattern 2:4 -o pruned && hone-quantize pruned --scheme w4a16 -o small
hone-generate small -p 'Once upon a time' -n 80 | cmp - piped
test $(wc -w < piped) -ge 20
