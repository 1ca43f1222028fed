# Bytes of half a character are held back or replaced: the output is always UTF-8.
for ids in 1 2 3 4 5 6 7 8; do hone-generate "$TESTDATA"/tiny-llama --token-ids $ids -n 20 --json; done | iconv -f utf-8 -t utf-8 > /dev/null
for text in a e i o u; do hone-generate "$TESTDATA"/tiny-gpt2 -p $text -n 20; done | iconv -f utf-8 -t utf-8 > /dev/null
