# Directory, bundle and stream hold the same model.
model=$TESTDATA/tiny-llama
hone-quantize $model --scheme w8a8 -o dir
hone-quantize $model --scheme w8a8 -o bundle.safetensors
hone-quantize $model --scheme w8a8 > stream
cmp stream bundle.safetensors
for each in dir bundle.safetensors; do hone-generate $each -p 'The cat' -n 12 --json | field "d['ids']"; done > ids
hone-generate -p 'The cat' -n 12 --json < stream | field "d['ids']" >> ids
test $(wc -l < ids) = 3 && test $(sort -u ids | wc -l) = 1
