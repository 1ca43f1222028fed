# Where a library is missing, sums pass through the host; both say so, and have the same text.
set -- ranks 2 hone-generate "$TESTDATA"/tiny-gpt2 --device cuda --tensor-parallel 2 \
  --token-ids 5,6,7 -n 6 --json -v
emulated_gpu "$@" > nccl
HONE_NCCL=none.so emulated_gpu "$@" > mpi 2> said
grep -q 'ranks pass sums by MPI, through the host (none.so: cannot open' said
[ "$(field 'd["timings"]["transport"]' < nccl) $(field 'd["timings"]["transport"]' < mpi)" = 'NCCL 1.2.3 MPI' ]
FAKE_NCCL_VERSION=2804 emulated_gpu "$@" 2>&1 > /dev/null | grep -q '(NCCL 2.8.4 cannot be recorded, 2.9 can)'
[ "$(field 'd["ids"]' < nccl)" = "$(field 'd["ids"]' < mpi)" ]
