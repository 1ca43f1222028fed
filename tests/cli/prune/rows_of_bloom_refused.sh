# A config.json that cannot say it must not be written.
# exit 2
hone-prune "$TESTDATA"/tiny-bloom --pattern rows --sparsity 0.5 -o out
