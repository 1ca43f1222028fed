# A directory that is no model is not replaced.
mkdir photos && echo precious > photos/holiday
hone-quantize "$TESTDATA"/tiny-llama --scheme w8a8 -o photos || code=$?
test "$(cat photos/holiday)" = precious
