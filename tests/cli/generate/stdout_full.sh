# A full disk behind standard output cannot look like success.
# exit 4
hone-generate --help > /dev/full
