# Neither the model's place nor the output's name leaves a trace.
cp -r "$TESTDATA"/tiny-gpt2 .
hone-quantize tiny-gpt2 --scheme w8a8 -o here.safetensors
hone-quantize "$TESTDATA"/tiny-gpt2 --scheme w8a8 | cmp - here.safetensors
