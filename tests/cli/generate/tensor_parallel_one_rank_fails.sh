# exit 4
# Only the second rank has no model: it says so, and both end.
set -- --tensor-parallel 2 --token-ids 1
ranks 1 hone-generate "$TESTDATA"/tiny-llama "$@" : -n 1 hone-generate ./tiny-llama "$@"
