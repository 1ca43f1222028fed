# exit 2
hone-prune "$TESTDATA"/storyteller --sparsity 0 -o model.safetensors 2> /dev/null
hone-generate -p a -n 1 --load map < model.safetensors > /dev/null
cat model.safetensors | hone-generate -p a -n 1 --load copy > /dev/null
cat model.safetensors | hone-generate -p a -n 1 --load map
