# scripts/measure_cpu_goals.py against a peer that always says the same, under memory that may move.
mkdir -p some-peer/bin
printf '#!/bin/sh\n[ "$1" = --help ] && echo --n-depth || printf "[\\n  {\\"samples_ts\\": [2, 4]}]\\n"\n' > some-peer/bin/llama-bench
printf '#!/bin/sh\n: > "$2"\n' > some-peer/bin/llama-quantize
chmod +x some-peer/bin/*
measure() {
  python3 "$TESTDATA"/../scripts/measure_cpu_goals.py "$@" --bin "$(dirname "$(command -v hone-benchmark)")" \
    --model "$TESTDATA"/tiny-llama --depth 4 --decode 2 --rounds 1 --tries 1 --tolerance 900 2>>log
}
measure some-peer/bin --only 'decode q8_0 over'
code=0; measure some-other/bin || code=$?; echo "exit $code"
grep -o '/some-other/bin/llama-bench: no such program' log
