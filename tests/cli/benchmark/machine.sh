hone-benchmark --machine --json | field "len(d['peaks']), d['models'], d['machine']['cores'] > 0"
