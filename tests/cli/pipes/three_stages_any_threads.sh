for n in 1 3; do hone-prune "$TESTDATA"/tiny-qwen3 --pattern 2:4 --threads $n | hone-quantize --scheme w4a16 --threads $n > stream-$n; done
cmp stream-1 stream-3
