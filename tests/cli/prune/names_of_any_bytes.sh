# Whatever files are called: the model is written, its history and every message are lines of UTF-8.
odd=$'a\xff\nb'
cp -r "$TESTDATA"/tiny-llama "$odd"
hone-prune "$odd" --sparsity 0.5 -o "$odd.gguf" --json | field "d['tool']"
hone-prune "$odd" --sparsity 0.5 -o "$odd.safetensors"
hone-prune "$odd.safetensors" --sparsity 0 2> /dev/null | grep -ac 'hone-prune 0.1.0'
hone-prune no"$odd" --sparsity 0.5 || echo $?
