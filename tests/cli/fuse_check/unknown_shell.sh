# exit 2
hone-fuse-check --hone-completion tcsh
