# An architecture that is not implemented is refused by name.
# exit 3
cp -r "$TESTDATA"/tiny-llama other
sed -i 's/LlamaForCausalLM/MambaForCausalLM/; s/"llama"/"mamba"/' other/config.json
hone-prune other --sparsity 0.5 -o out
