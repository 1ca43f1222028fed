# The official implementation's tokens, to the end of the story.
hone-generate "$TESTDATA"/storyteller --ignore-eos --prompts <(expected prompts storyteller) --device ref | expected ids | diff - <(expected answers storyteller)
