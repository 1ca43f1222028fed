# A config.json that cannot say it must not be written.
# exit 2
hone-prune "$TESTDATA"/tiny-gpt2 --pattern heads --sparsity 0.5 -o out
