# exit 4
test -z "${ASAN_OPTIONS:-}" || { echo 'a sanitizer ends the program at such sizes' >&2; exit 77; }
echo '{"prompt": "a"}' > one
hone-generate "$TESTDATA"/tiny-llama --prompts one --batch 9000000000000000000
