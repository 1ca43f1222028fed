# With -v it says where the time went; each sample stands beside a reading of memory.
hone-benchmark "$TESTDATA"/tiny-llama --prefill 8 --decode none --repetitions 1 -v --json > b.json 2> said
grep -o 'prefill 8: time by op: .*' said | tr ',' '\n' | grep -c ' %$'
field "d['results'][0]['read_gigabytes_per_second'] > 0" < b.json
