# Shards and their index: a directory like any other.
hone-prune "$TESTDATA"/tiny-llama --sparsity 0.5 -o one
hone-prune "$TESTDATA"/tiny-llama --sparsity 0.5 -o many --shard-size 40k
test $(ls many/model-0*.safetensors | wc -l) -ge 2
field "sorted(set(d['weight_map'].values()))" < many/model.safetensors.index.json
for each in one many; do hone-generate $each -p 'The cat' -n 12; echo; done | sort -u | wc -l | grep -qx 1
