# A full disk behind standard output cannot look like success.
# exit 4
hone-benchmark --help > /dev/full
