# exit 3
hone-prune "$TESTDATA"/tiny-llama --sparsity 0 -o bad
printf '\377\377\377\377' | dd of=bad/model.safetensors bs=1 seek=$(($(stat -c %s bad/model.safetensors) - 40000)) conv=notrunc status=none
hone-fuse-check bad
