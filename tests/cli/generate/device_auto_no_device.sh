# A driver, but nothing for it to drive, or all of it hidden.
fake_driver 99000 env CUDA_VISIBLE_DEVICES=7 hone-generate "$TESTDATA"/tiny-llama -p a -n 1 -v > /dev/null
