# exit 3
hone-fuse-check  < /dev/null
