# The report where a program may read it; beside the model on standard output it cannot lie.
hone-prune "$TESTDATA"/tiny-llama --sparsity 0.5 -o out --report - | field "len(d['tensors'])"
hone-prune "$TESTDATA"/tiny-llama --sparsity 0.5 --report - && exit 9 || test $? = 2
