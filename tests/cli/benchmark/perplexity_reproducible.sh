# Same figure for any number of threads and as through a pipe.
quality() { hone-benchmark "$@" --no-speed --text "$TESTDATA"/text/english.txt --json | field "d['quality'][0]['mean_nll'], d['quality'][0]['tokens']"; }
{ quality "$TESTDATA"/tiny-llama --threads 1; quality "$TESTDATA"/tiny-llama --threads 2
  hone-prune "$TESTDATA"/tiny-llama --sparsity 0 | quality -; } | uniq | wc -l
