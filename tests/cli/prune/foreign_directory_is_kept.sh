# A directory that is no model is not replaced.
mkdir photos && echo precious > photos/holiday
hone-prune "$TESTDATA"/tiny-llama --sparsity 0.5 -o photos || code=$?
test "$(cat photos/holiday)" = precious
