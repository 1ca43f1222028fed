# Every fused chain is inside its tolerance, and something fuses.
hone-fuse-check "$TESTDATA"/tiny-llama --no-time --json > r.json
field "d['passed'], d['fused']['launches'] < d['unfused']['launches']" < r.json
