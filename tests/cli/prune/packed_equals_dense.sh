# A stream carries 2:4 packed and smaller; it computes the same.
hone-prune "$TESTDATA"/tiny-llama --pattern 2:4 > packed
hone-prune "$TESTDATA"/tiny-llama --pattern 2:4 --dense > dense
test $(stat -c %s packed) -lt $(stat -c %s dense)
for each in packed dense; do hone-generate --token-ids 5,6,7 -n 16 < $each; done | uniq | wc -l | grep -qx 1
