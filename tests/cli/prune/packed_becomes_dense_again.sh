# A packed stream cast into a directory is what pruning straight into a directory gives.
hone-prune "$TESTDATA"/tiny-llama --pattern 2:4 | hone-quantize --scheme f32 -o unpacked
hone-prune "$TESTDATA"/tiny-llama --pattern 2:4 -o direct
tensors unpacked/model.safetensors > a && tensors direct/model.safetensors | cmp - a
cmp <(tail -c 123520 unpacked/model.safetensors) <(tail -c 123520 direct/model.safetensors)
