# Ctrl-C ends the answer, then the program.
# exit 130
hone-generate random:"$TESTDATA"/tiny-llama/config.json --token-ids 1 -n 10000000 --ctx 10000001 > ids &
while test ! -s ids && kill -0 $!; do sleep 0.1; done
kill -INT $!
wait $!
