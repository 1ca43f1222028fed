cp -r "$TESTDATA"/tiny-llama 'my model'
hone-generate 'my model/' -p 'The cat' -n 4 > text
hone-prune 'my model' --sparsity 0 -o 'my copy' && hone-generate 'my copy' -p 'The cat' -n 4 | cmp - text
