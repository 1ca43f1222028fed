#!/usr/bin/env bash
# Checks and measures the CUDA backend on the GPU of this machine, in one run: builds for its
# architecture, runs every op test on it, compute-sanitizer over them, greedy tokens against the
# CPU's, benchmarks against the roofline and the peers that are here; writes logs, report.json and
# report.md to a folder and prints a short table last.
#   scripts/gpu_check.sh [--quick] [--out DIR] [--programs DIR] [--models DIR]...
#                        [--llama-bench PROGRAM MODEL.gguf]
# Needs the CUDA toolkit, CMake, a C++20 compiler and python3 (with torch for the peers). The
# programs are built where Debian's packages are installed, or taken from what scripts/gpu_bundle
# made elsewhere (--programs). --models: more models whose tokens are compared. Exit 1: a test failed.
set -uo pipefail
cd "$(dirname "$0")/.."
quick=false out=build/gpu programs="" models=() llama=()
while [ $# -gt 0 ]; do
  case $1 in
    --quick) quick=true; shift ;;
    --out) out=$2; shift 2 ;;
    --programs) programs=$2; shift 2 ;;
    --models) models+=("$2"); shift 2 ;;
    --llama-bench) llama=("$2" "$3"); shift 3 ;;
    *) sed -n '2,13p' "$0" >&2; exit 2 ;;
  esac
done
command -v nvcc >/dev/null || PATH=$PATH:/usr/local/cuda/bin
command -v nvcc >/dev/null || { echo "gpu_check: no nvcc; is the CUDA toolkit installed?" >&2; exit 4; }
nvidia-smi -L >/dev/null 2>&1 || { echo "gpu_check: no NVIDIA GPU here" >&2; exit 4; }
mkdir -p "$out" && out=$(cd "$out" && pwd)
start=$SECONDS
failed=0
say() { printf '[%3d s] %s\n' $((SECONDS - start)) "$*"; }

# step NAME SECONDS COMMAND...: runs it with a limit; its output goes to $out/NAME.log.
step() {
  local name=$1 limit=$2
  shift 2
  if timeout "$limit" "$@" >"$out/$name.log" 2>&1; then
    say "ok      $name: $(tail -1 "$out/$name.log" | cut -c1-100)"
  else
    say "FAILED  $name (exit $?)"
    tail -15 "$out/$name.log" | cut -c1-200
    failed=$((failed + 1))
  fi
}

capability=$(nvidia-smi --query-gpu=compute_cap --format=csv,noheader | head -1 | tr -d .)
[ "$capability" = 90 ] && capability=90a
nvidia-smi --query-gpu=name,driver_version,clocks.sm,clocks.mem,power.limit,clocks_event_reasons.active \
  --format=csv,noheader >"$out/device.txt" 2>&1
say "$(cat "$out/device.txt")"

# ---- Build: tests and micro-benchmarks, side by side.
compile=(nvcc -std=c++20 -O3 --expt-relaxed-constexpr -I.
  -gencode "arch=compute_$capability,code=sm_$capability")
kernels() { printf 'kernels/cuda/%s ' "$@"; }
build_tests() {
  cmake -S tests/cuda/device -B "$out/device" -DHONE_CUDA_ARCHITECTURES="$capability-real" &&
    cmake --build "$out/device" -j "$(nproc)"
}
(build_tests >"$out/build_tests.log" 2>&1) &
(bash tests/bench/build_cuda_benches.sh "$out" "${compile[@]}" >"$out/build_benches.log" 2>&1) &
if [ -z "$programs" ] && [ -f /usr/include/CLI/CLI.hpp ] && [ -f /usr/include/hwy/highway.h ]; then
  (cmake --preset release -DHONE_CUDA=ON -DHONE_CUDA_ARCHITECTURES="$capability-real" &&
    cmake --build build/release -j "$(nproc)") >"$out/build_programs.log" 2>&1
  programs=build/release
fi
wait
say "built"

# ---- Right?
step device_check 120 "$out/device/cuda_device_check"
if ! $quick; then
  step memcheck 90 compute-sanitizer --error-exitcode 9 "$out/device/cuda_device_check" -tc=small
  step racecheck 90 compute-sanitizer --tool racecheck --error-exitcode 9 \
    "$out/device/cuda_device_check" -tc=matvec
fi
if [ -n "$programs" ]; then
  export LD_LIBRARY_PATH=$programs/lib:${LD_LIBRARY_PATH:-}
  step tokens 120 bash tests/cuda/device/compare_tokens.sh "$programs/bin" testdata "${models[@]}"
else
  say "skipped tokens: no programs (scripts/gpu_bundle makes them where packages are)"
fi

# ---- Fast?
for bench in matvec attention gemm; do step "$bench" 100 "$out/${bench}_bench"; done
if [ -n "$programs" ]; then
  shapes=(random:llama-3.2-1b random:llama-3.1-8b)
  for shape in "${shapes[@]}"; do
    for scheme in none w8a16 w4a16; do
      $quick && [ "$scheme" != none ] && continue
      step "decode_${shape#random:}_$scheme" 100 "$programs/bin/hone-benchmark" "$shape" \
        --scheme "$scheme" --device cuda --prefill 512,2048 --decode 128 --repetitions 3 --json
    done
  done
fi
python3 -c 'import torch' 2>/dev/null && step peers 150 python3 scripts/gpu_peers.py $($quick && echo --quick)
[ ${#llama[@]} -gt 0 ] && step llama_bench 100 "${llama[0]}" -m "${llama[1]}" -ngl 99 -p 512,2048 -n 128

python3 scripts/gpu_report.py "$out"
say "$failed failed; logs and report.md in $out"
[ "$failed" -eq 0 ]
