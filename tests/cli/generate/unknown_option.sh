# exit 2
hone-generate --no-such-option
