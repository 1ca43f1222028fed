# The shell's >(program) and named pipes get a stream.
mkfifo done
hone-quantize "$TESTDATA"/tiny-llama --scheme w8a8 -o >(cat > got; echo > done)
read -r < done || true
hone-quantize "$TESTDATA"/tiny-llama --scheme w8a8 | cmp - got
