# config.json names the tokens that end a text; no tokenizer is needed to stop there.
cp -r "$TESTDATA"/tiny-llama model
rm model/tokenizer.json
hone-generate model --token-ids 5,6,7 -n 8 > free
second=$(cut -d ' ' -f 2 free)
sed -i "s/\"eos_token_id\": [0-9]*/\"eos_token_id\": [999999, $second]/" model/config.json
hone-generate model --token-ids 5,6,7 -n 8 --json | field "d['ids'], d['finish_reason']"
hone-generate model --token-ids 5,6,7 -n 8 --ignore-eos | cmp - free
hone-generate model --token-ids 5,6,7 --stop end || echo $?
