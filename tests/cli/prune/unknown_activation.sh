# A value that is not implemented is refused by name, never guessed.
# exit 3
cp -r "$TESTDATA"/tiny-llama other
sed -i 's/"silu"/"mish"/' other/config.json
hone-prune other --sparsity 0.5 -o out
