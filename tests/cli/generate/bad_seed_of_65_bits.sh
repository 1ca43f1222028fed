# exit 2
hone-generate "$TESTDATA"/tiny-llama -p a -n 2 --seed 18446744073709551616
