# exit 0
hone-generate "$TESTDATA"/storyteller -p "" -n 5 --temperature 0
