# A program with nothing to say on standard output does not miss it; others do.
hone-prune "$TESTDATA"/tiny-llama --sparsity 0.5 -o out >&- 2> /dev/null
test -s out/model.safetensors
hone-prune "$TESTDATA"/tiny-llama --sparsity 0.5 --dry-run >&- 2> said || test $? = 4
grep -q 'Bad file descriptor' said
