hone-benchmark "$TESTDATA"/tiny-llama --prefill 8 --decode 4 --repetitions 2 > table
grep -q 'prefill 8 ' table && grep -q 'decode 4 ' table && grep -q '^peak memory' table
