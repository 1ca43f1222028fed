# exit 3
hone-generate "$TESTDATA"/storyteller --chat -p Hi
