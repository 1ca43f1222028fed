for how in auto map copy; do
  hone-generate "$TESTDATA"/storyteller -p 'Once upon a time' -n 8 --load $how --json > $how.json
  field "d['timings']['weights']" < $how.json
done
test "$(field "d['text']" < map.json)" = "$(field "d['text']" < copy.json)"
hone-generate "$TESTDATA"/storyteller -p a -n 1 --load none 2> /dev/null || echo $?
