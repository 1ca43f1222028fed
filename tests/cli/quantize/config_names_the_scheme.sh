hone-quantize "$TESTDATA"/tiny-llama --scheme w8a8 -o out
field "d['quantization_config']['quant_method']" < out/config.json
