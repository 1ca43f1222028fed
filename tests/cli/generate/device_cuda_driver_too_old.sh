# exit 2
fake_driver 12040 hone-generate "$TESTDATA"/tiny-llama -p a -n 1 --device cuda
