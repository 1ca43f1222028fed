# exit 2
hone-fuse-check --no-such-option
