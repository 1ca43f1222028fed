hone-benchmark "$TESTDATA"/tiny-llama "$TESTDATA"/tiny-gpt2 --prefill 8 --decode none --repetitions 2 --threads 1,2 --json | field "len(d['results']), [m['architecture'] for m in d['models']]"
