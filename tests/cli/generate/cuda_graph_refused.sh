# Drivers that record no kernels that overlap, or none at all: -v says so, and the text is the same.
set -- hone-generate "$TESTDATA"/tiny-llama --device cuda --token-ids 5,6,7 -n 8 --ctx 16 -v
emulated_gpu "$@" > all 2> said
grep -q 'kernels do not overlap' said && exit 1
SIMT_RECORDABLE=apart emulated_gpu "$@" > apart 2> said
grep -q '; kernels do not overlap (simt: operation not permitted' said
SIMT_RECORDABLE=none emulated_gpu "$@" > none 2> said
grep -q '; steps are not recorded (simt: operation not permitted' said
cmp all apart && cmp all none
