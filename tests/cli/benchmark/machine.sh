hone-benchmark --machine --json | field "len(d['peaks']) > 0, all(d['peaks'][0][k] >= 0 for k in ('bf16_gflops', 'int8_gops')), d['models'], d['machine']['cores'] > 0"
