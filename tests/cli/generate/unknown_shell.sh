# exit 2
hone-generate --hone-completion tcsh
