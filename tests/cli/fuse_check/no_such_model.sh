# exit 4
hone-fuse-check does-not-exist  -v
