# exit 2
hone-generate "$TESTDATA"/storyteller --system 'Be brief.' -p Hi
