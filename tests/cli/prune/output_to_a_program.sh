# The shell's >(program) and named pipes get a stream.
mkfifo done
hone-prune "$TESTDATA"/tiny-llama --sparsity 0.5 -o >(cat > got; echo > done)
read -r < done || true
hone-prune "$TESTDATA"/tiny-llama --sparsity 0.5 | cmp - got
