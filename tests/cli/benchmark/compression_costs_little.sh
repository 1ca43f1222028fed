# slow
# int8 is close to the dense model, int4 less, 2:4 least; all in one process, without a logits file.
S=$TESTDATA/storyteller
hone-quantize $S --scheme w8a16 -o w8; hone-quantize $S --scheme w4a16 -o w4; hone-prune $S --pattern 2:4 -o sparse
hone-benchmark w8 w4 sparse --against $S --no-speed --text $S/heldout.txt --split '<|endoftext|>' --max-windows 4 --json > q.json
field "(lambda kl: 0 < kl[0] < 0.01 and kl[0] < kl[1] < kl[2])([[v for k, v in q.items() if 'kl' in k][0] for q in d['quality']])" < q.json
