# --chat: the prompt as the template writes it, said with --echo; from -p, a file, a pipe, a list of messages.
printf '{%% for m in messages %%}{{ m.role }}: {{ m.content }}\n{%% endfor %%}{{ "quietly" if quiet }}:' > own.jinja
say() { hone-generate "$TESTDATA"/storyteller --chat-template own.jinja --echo -n 1 "$@"; echo; }
say --chat -p 'One day' --system 'Tell a story.'
printf 'One\nday\n' > said.txt
say --chat -f said.txt --chat-variables '{"quiet": true}'
say --chat < said.txt
echo '[{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]' > messages.json
say --messages messages.json
echo '{"messages": [{"role": "user", "content": "One day"}], "id": "m", "max_tokens": 1}' > prompts.jsonl
echo '{"token_ids": [1, 2], "max_tokens": 1}' >> prompts.jsonl
hone-generate "$TESTDATA"/storyteller --chat-template own.jinja --prompts prompts.jsonl | wc -l
