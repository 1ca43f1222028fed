hone-benchmark "$TESTDATA"/tiny-llama --prefill 8 --decode none --repetitions 2 --md | head -2 | grep -c '^|.*|$'
