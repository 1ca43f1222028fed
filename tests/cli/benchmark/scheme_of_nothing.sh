# exit 4
# The first fault is the one that is told.
hone-benchmark no-such-model --scheme w4a16
