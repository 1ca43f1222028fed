#!/usr/bin/env bash
# build_cuda_benches.sh OUT NVCC...: the GPU micro-benchmarks into OUT, side by side, from the
# repository's root. Their heads say what each measures.
set -u
jobs=()
out=$1
shift
c=kernels/cuda
"$@" tests/bench/cuda_matvec_bench.cu $(grep -ol . $c/matvec*.cu) -o "$out/matvec_bench" &
jobs+=($!)
"$@" tests/bench/cuda_attention_bench.cu $c/attention{,_decode,_prefill}.cu $c/rope.cu \
  $c/kv_store.cu -o "$out/attention_bench" &
jobs+=($!)
"$@" -x cu tests/bench/cuda_gemm_bench.cu kernels/codec/*.cpp $c/gemm*.cu \
  $c/{dense,norm,argmax,sample,embed,round_tokens}.cu $(ls $c/sparse*.cu 2> /dev/null) \
  $c/{weights,block_codes,runtime_cuda,staging_cuda,faults,gemm_cublas}.cpp \
  kernels/parallel.cpp tests/cuda/device/convert_scalar.cpp -lcublasLt -o "$out/gemm_bench" &
jobs+=($!)
failed=0
for job in "${jobs[@]}"; do wait "$job" || failed=1; done
exit $failed
