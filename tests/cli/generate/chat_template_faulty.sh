# exit 3
printf 'a\n{%% if b %%}' > own.jinja
hone-generate "$TESTDATA"/storyteller --chat --chat-template own.jinja -p Hi
