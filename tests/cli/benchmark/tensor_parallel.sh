# Two ranks measure together, and one reports.
ranks 2 hone-benchmark "$TESTDATA"/tiny-llama --tensor-parallel 2 --prefill 8 --decode 4 --repetitions 3 --json > report
field "[(r['test'], r['tokens_per_second'] > 0) for r in d['results']], len(d['peaks'])" < report
