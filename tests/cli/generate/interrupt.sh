# Ctrl-C ends the answer, then the program.
# exit 130
hone-generate random:"$TESTDATA"/tiny-llama/config.json --token-ids 1 -n 10000000 --ctx 10000001 > ids &
for i in $(seq 100); do sleep 0.1; test ! -s ids || break; done
kill -INT $!
wait $!
