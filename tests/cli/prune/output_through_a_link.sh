# A link is kept, and what it points to replaced.
hone-prune "$TESTDATA"/tiny-llama --sparsity 0 -o real.safetensors
ln -s real.safetensors link.safetensors
hone-prune "$TESTDATA"/tiny-llama --sparsity 0.5 -o link.safetensors
test -L link.safetensors && hone-prune "$TESTDATA"/tiny-llama --sparsity 0.5 | cmp - real.safetensors
