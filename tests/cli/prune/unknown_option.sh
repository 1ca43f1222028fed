# exit 2
hone-prune --no-such-option
