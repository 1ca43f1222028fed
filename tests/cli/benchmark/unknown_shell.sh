# exit 2
hone-benchmark --hone-completion tcsh
