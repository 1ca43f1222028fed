# A model without tokenizer works with ids: new ids come out, nothing else.
hone-generate random:"$TESTDATA"/tiny-llama/config.json --token-ids 1,2,3 -n 3 | grep -Ex '[0-9]+ [0-9]+ [0-9]+ ?'
