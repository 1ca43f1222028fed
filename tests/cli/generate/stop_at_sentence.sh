# The first sentence, without its full stop.
hone-generate "$TESTDATA"/storyteller -p 'Once upon a time' --stop . -n 60 > sentence
! grep -q '[.]' sentence && test $(wc -w < sentence) -ge 3
