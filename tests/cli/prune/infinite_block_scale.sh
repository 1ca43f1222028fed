# exit 3
hone-quantize "$TESTDATA"/tiny-llama --scheme q8_0 -o model.gguf 2> /dev/null
printf '\000\174' | dd of=model.gguf bs=1 seek=$(($(stat -c %s model.gguf) - 17792)) conv=notrunc status=none
hone-prune model.gguf --sparsity 0.5 -o out.gguf
