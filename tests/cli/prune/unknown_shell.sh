# exit 2
hone-prune --hone-completion tcsh
