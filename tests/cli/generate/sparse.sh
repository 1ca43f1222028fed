# What pruning left is multiplied sparse or dense, with the same bytes; 2:4 is seen where it is stored.
hone-prune "$TESTDATA"/storyteller --sparsity 0.6 -o pruned 2> /dev/null
hone-quantize pruned --scheme w8a16 -o pruned8 2> /dev/null
hone-prune "$TESTDATA"/storyteller --pattern 2:4 2> /dev/null | hone-quantize --scheme w4a16 > half 2> /dev/null
for model in pruned pruned8 half; do
  for sparse in auto off; do
    hone-generate $model -p 'Once upon a time' -n 8 --threads 2 --sparse $sparse --json > $sparse.json
    field "[d['ids'], d['logprobs']]" < $sparse.json > $sparse.txt
  done
  cmp auto.txt off.txt && field "d['timings']['sparse']['bitmask']" < off.json
done
field "d['timings']['sparse']['two_of_four'] > 0" < auto.json
hone-generate pruned -p a -n 1 --device ref --json | field "d['timings']['sparse']['bitmask']"
