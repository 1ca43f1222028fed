hone-generate "$TESTDATA"/tiny-llama -p 'The cat' -n 8 -v 2> said > text
hone-generate "$TESTDATA"/tiny-llama -p 'The cat' -n 8 --json | field "d['text']" | head -c -1 | cmp - text
grep -q 'first token after' said && grep -q 'loaded ' said
