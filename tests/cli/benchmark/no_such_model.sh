# exit 4
hone-benchmark does-not-exist  -v
