# exit 2
hone-quantize --hone-completion tcsh
