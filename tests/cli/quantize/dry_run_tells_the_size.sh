# bytes_after is what is written.
hone-quantize "$TESTDATA"/tiny-llama --scheme w8a8 --dry-run --json | field "d['bytes_after']" > promised
hone-quantize "$TESTDATA"/tiny-llama --scheme w8a8 -o out
hone-benchmark out --no-speed --json | field "d['models'][0]['stored_bytes']" | cmp - promised
