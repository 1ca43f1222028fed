# The input may be replaced by the output, whatever holds it.
hone-prune "$TESTDATA"/tiny-llama --sparsity 0 -o dir
hone-prune "$TESTDATA"/tiny-llama --sparsity 0 -o in.safetensors
for each in dir in.safetensors; do hone-prune $each --sparsity 0.5 -o want.safetensors; hone-prune $each --sparsity 0.5 -o $each
  hone-generate $each -p 'The cat' -n 12 > got; hone-generate want.safetensors -p 'The cat' -n 12 | cmp - got; done
test "$(ls | tr '\n' ' ')" = 'dir got in.safetensors want.safetensors '
