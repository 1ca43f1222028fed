# Another order in memory, the same text.
hone-quantize "$TESTDATA"/storyteller --scheme w8a16 --group-size 32 -o w8 2> /dev/null
hone-quantize "$TESTDATA"/storyteller --scheme q8_0 -o q8.gguf 2> /dev/null
for model in w8 q8.gguf "$TESTDATA"/storyteller; do
  for load in map repack; do
    hone-generate $model -p 'Once upon a time' -n 8 --load $load --json > $load.json
  done
  field "d['ids']" < repack.json
  field "d['ids']" < map.json
done
