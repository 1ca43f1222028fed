hone-benchmark --machine --json | field "len(d['peaks']) > 0, d['peaks'][0]['int8_gops'] >= 0, d['models'], d['machine']['cores'] > 0"
