hone-prune "$TESTDATA"/tiny-llama --sparsity 0 -o bad
printf '\377\377\377\377' | dd of=bad/model.safetensors bs=1 seek=$(($(stat -c %s bad/model.safetensors) - 40000)) conv=notrunc status=none
for out in dir model.safetensors; do ! hone-quantize bad --scheme w8a16 -o $out; done
test "$(ls)" = bad
hone-quantize bad --scheme w8a16 --allow-nan -o out
hone-generate out --token-ids 5 -n 2
