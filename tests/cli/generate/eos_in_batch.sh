# Texts that end early make room for the next prompt; each is what it is alone.
for name in Tom Lily Ben Mia Sam; do printf '{"prompt": "Once upon a time there was a child named %s"}\n' $name; done > many
hone-generate "$TESTDATA"/storyteller --prompts many --batch 2 -n 200 | expected ids > together
for n in 1 2 3 4 5; do sed -n ${n}p many > one; hone-generate "$TESTDATA"/storyteller --prompts one -n 200 | expected ids; done | diff - together
