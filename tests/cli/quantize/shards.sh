# Shards and their index: a directory like any other.
hone-quantize "$TESTDATA"/tiny-llama --scheme w8a8 -o one
hone-quantize "$TESTDATA"/tiny-llama --scheme w8a8 -o many --shard-size 40k
test $(ls many/model-0*.safetensors | wc -l) -ge 2
field "sorted(set(d['weight_map'].values()))" < many/model.safetensors.index.json
for each in one many; do hone-generate $each -p 'The cat' -n 12; echo; done | sort -u | wc -l | grep -qx 1
