# scripts/compare_cpu_peers.sh against a peer that always says the same.
mkdir -p some-peer/bin
printf '#!/bin/sh\n[ "$1" = --help ] && echo --n-depth || printf "[\\n  {\\"samples_ts\\": [2, 4]}]\\n"\n' > some-peer/bin/llama-bench
printf '#!/bin/sh\n: > "$2"\n' > some-peer/bin/llama-quantize
chmod +x some-peer/bin/*
compare() {
  "$TESTDATA"/../scripts/compare_cpu_peers.sh some-peer/bin --bin "$(dirname "$(command -v hone-benchmark)")" \
    --model "$TESTDATA"/tiny-llama --prompt 8 --depth 4 --decode 2 --rounds 1 --modes default "$@" 2>>log
}
compare --types q8_0,w8a16
code=0; compare --types q9 || code=$?; echo "exit $code"
code=0; compare some-other/bin || code=$?; echo "exit $code"
grep -o '/some-other/bin/llama-bench: no such program' log
