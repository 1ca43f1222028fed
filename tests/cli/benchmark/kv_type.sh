for type in f32 int8; do
  hone-benchmark "$TESTDATA"/tiny-llama --prefill 8 --decode none --repetitions 1 --kv-type $type --json > $type.json
  field "d['models'][0]['kv_type']" < $type.json
done
