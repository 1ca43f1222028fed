# Found out before the work, not after.
# exit 3
echo '{"prompt": 1}' > other.json
hone-benchmark "$TESTDATA"/tiny-llama --baseline other.json
