# A full disk behind standard output cannot look like success.
# exit 4
hone-prune --help > /dev/full
