# exit 3
echo '{"machine": {"cpu": "an abacus"}, "results": []}' > base.json
hone-benchmark "$TESTDATA"/tiny-llama --prefill 8 --decode none --repetitions 1 --baseline base.json 2> said > /dev/null || code=$?
grep -o 'warning: base.json: of another machine: cpu "an abacus", now "' said
exit $code
