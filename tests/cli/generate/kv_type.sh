# Every type of cache continues the story alike; --json names the type.
for type in f32 f16 bf16 int8; do
  hone-generate "$TESTDATA"/storyteller -p 'Once upon a time' -n 8 --kv-type $type --json > $type.json
  field "d['timings']['kv_type'], d['ids']" < $type.json
done
