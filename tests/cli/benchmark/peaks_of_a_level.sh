# exit 2
# The peaks are those of the instructions that HONE_CPU leaves.
HONE_CPU=scalar hone-benchmark --machine --threads 1 --json > peaks.json 2> said || grep -q "no instructions 'scalar'" said
test ! -s peaks.json || field "all(d['peaks'][0][k] == 0 for k in ('bf16_gflops', 'int8_gops'))" < peaks.json | grep -q True
HONE_CPU=mmx hone-benchmark --machine
