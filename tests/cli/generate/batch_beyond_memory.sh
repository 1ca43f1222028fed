# exit 4
echo '{"prompt": "a"}' > one
hone-generate "$TESTDATA"/tiny-llama --prompts one --batch 9000000000000000000
