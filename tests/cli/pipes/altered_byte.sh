# One bit in the data: the trailer's hash speaks, in every tool.
hone-prune "$TESTDATA"/tiny-llama --sparsity 0.5 > stream
python3 -c 'data = bytearray(open("stream", "rb").read()); data[-20000] ^= 1; open("stream", "wb").write(data)'
for tool in 'hone-prune --sparsity 0.5 -o out' 'hone-quantize --scheme w8a8 -o out' 'hone-generate --token-ids 1' 'hone-fuse-check --no-run' 'hone-benchmark --no-speed'; do
  cat stream | $tool > answer 2> err && exit 9 || test $? = 3
  test $(wc -l < err) = 1 && test ! -e out
done
