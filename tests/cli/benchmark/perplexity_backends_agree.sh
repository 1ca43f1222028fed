for device in ref cpu; do
  hone-benchmark "$TESTDATA"/tiny-qwen3 --device $device --no-speed --text "$TESTDATA"/text/english.txt --json | field "round(d['quality'][0]['mean_nll'], 4)"
done | uniq | wc -l
