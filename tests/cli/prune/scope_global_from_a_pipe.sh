# Looks at the model twice, through a temporary file that is gone afterwards.
mkdir tmp
hone-prune "$TESTDATA"/tiny-llama --sparsity 0 | TMPDIR=$PWD/tmp hone-prune --sparsity 0.5 --scope global -o piped
hone-prune "$TESTDATA"/tiny-llama --sparsity 0.5 --scope global -o direct
cmp <(tail -c 123520 piped/model.safetensors) <(tail -c 123520 direct/model.safetensors)
test -z "$(ls tmp)"
