# exit 3
echo '[{"content": "a"}]' > messages.json
hone-generate "$TESTDATA"/storyteller --messages messages.json
