# A cast gives plain weights back, without a quantization_config.
hone-quantize "$TESTDATA"/tiny-llama --scheme w8a8 | hone-quantize --scheme f32 -o out
test "$(field "'quantization_config' in d" < out/config.json)" = False
hone-generate out --token-ids 5,6,7 -n 4
