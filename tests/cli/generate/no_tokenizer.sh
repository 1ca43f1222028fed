# exit 3
hone-generate random:"$TESTDATA"/tiny-llama/config.json -p Hello
