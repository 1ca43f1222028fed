# Neither the model's place nor the output's name leaves a trace.
cp -r "$TESTDATA"/tiny-gpt2 .
hone-prune tiny-gpt2 --sparsity 0.5 -o here.safetensors
hone-prune "$TESTDATA"/tiny-gpt2 --sparsity 0.5 | cmp - here.safetensors
