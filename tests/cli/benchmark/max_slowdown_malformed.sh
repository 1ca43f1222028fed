# exit 2
echo '{"results": []}' > base.json
hone-benchmark "$TESTDATA"/tiny-llama --baseline base.json --max-slowdown 500%
