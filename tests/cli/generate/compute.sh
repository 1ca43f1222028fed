# Integers are multiplied in int8 unless told otherwise, and not at all where nothing is stored so.
hone-quantize "$TESTDATA"/storyteller --scheme w8a16 -o w8 2> /dev/null
for compute in auto f32 int8; do
  hone-generate w8 -p 'Once upon a time' -n 8 --compute $compute --json > $compute.json
  field "d['timings']['int8_products'], d['ids']" < $compute.json
done
hone-generate w8 -p 'Once upon a time' -n 8 --device ref --json > ref.json
field "d['timings']['int8_products'], d['ids']" < ref.json
hone-generate "$TESTDATA"/storyteller -p 'Once upon a time' -n 8 --compute int8 --json > bf16.json
field "d['timings']['int8_products'], d['ids']" < bf16.json
