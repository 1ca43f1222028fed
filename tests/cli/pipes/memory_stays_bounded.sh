# A data-free stage holds a few rows, whatever the model's size: half a gigabyte through 300 MB.
test -z "${ASAN_OPTIONS:-}" || { echo 'sanitizers need more memory' >&2; exit 77; }
hone-quantize random:bloom-560m --scheme w4a16 -o /dev/null & stage=$!
peak=0
while peak_now=$(awk '/VmHWM/ {print $2}' /proc/$stage/status 2> /dev/null) && test -n "$peak_now"; do peak=$peak_now; sleep 0.05; done
wait $stage
test $peak -gt 0 && test $peak -lt 300000
