# exit 2
set -- hone-generate "$TESTDATA"/tiny-llama --tensor-parallel 2 --token-ids 1 -n
ranks 1 "$@" 5 : -n 1 "$@" 6
