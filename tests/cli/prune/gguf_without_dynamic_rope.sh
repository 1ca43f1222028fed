# What GGUF cannot say is refused, and nothing is left behind.
! hone-prune "$TESTDATA"/tiny-llama-dynamic --sparsity 0 -o model.gguf
test -z "$(ls)"
