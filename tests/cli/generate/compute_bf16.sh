# Weights in bf16 meet activations rounded to bf16 if asked for; integers are multiplied as by auto.
hone-quantize "$TESTDATA"/storyteller --scheme w8a16 -o w8 2> /dev/null
for model in "$TESTDATA"/storyteller w8; do
  for device in cpu ref; do
    hone-generate $model -p 'Once upon a time' -n 8 --compute bf16 --device $device --json > $device.json
    field "[d['timings'][k] for k in ('bf16_products', 'int8_products')], d['ids']" < $device.json
  done
done
hone-generate "$TESTDATA"/storyteller -p 'Once upon a time' -n 8 --json | field "d['timings']['bf16_products']"
