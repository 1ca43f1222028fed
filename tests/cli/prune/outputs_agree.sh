# Directory, bundle and stream hold the same model.
model=$TESTDATA/tiny-llama
hone-prune $model --sparsity 0.5 -o dir
hone-prune $model --sparsity 0.5 -o bundle.safetensors
hone-prune $model --sparsity 0.5 > stream
cmp stream bundle.safetensors
for each in dir bundle.safetensors; do hone-generate $each -p 'The cat' -n 12 --json | field "d['ids']"; done > ids
hone-generate -p 'The cat' -n 12 --json < stream | field "d['ids']" >> ids
test $(wc -l < ids) = 3 && test $(sort -u ids | wc -l) = 1
