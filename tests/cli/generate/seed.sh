# Same seed, same text; another seed, another text.
draw() { hone-generate "$TESTDATA"/tiny-llama -p 'The cat' -n 32 --temperature 1.5 --seed $1 --json "${@:2}" | field "d['ids']"; }
draw 1 > one && draw 1 --threads 2 | cmp - one && draw 1 --threads 1 | cmp - one
! draw 2 | cmp -s - one
