#!/usr/bin/env bash
# Checks and measures the CUDA backend on the GPU of this machine, in one run: builds for its
# architecture, runs every op test on it, greedy tokens against the CPU's, benchmarks against the
# roofline and the peers that are here, compute-sanitizer over the tests; prints a short table last,
# each goal beside what was measured.
#   scripts/gpu_check.sh [--quick] [--budget SECONDS] [--out DIR] [--programs DIR] [--models DIR]...
#                        [--llama-bench PROGRAM MODEL.gguf]
# Needs the CUDA toolkit, a C++20 compiler and python3 (with torch for the peers, with its cmake
# where there is no other). The programs are built where Debian's packages are installed or can be, or
# taken from what scripts/gpu_bundle made elsewhere (--programs). --models: more models whose tokens are
# compared. --budget: what does not fit so many seconds, 510 or, with --quick, 170, is left out.
# DIR, build/gpu by default, gets log.txt, all that is said, as it comes, and report.json and
# report.md, anew after each step: whatever ends the run, what was measured before is there.
# Exit 1: a step failed.
set -uo pipefail
cd "$(dirname "$0")/.."
usage() { sed -n '2,17p' "$0" >&2; exit 2; }
quick=false budget="" out=build/gpu programs="" models=() llama=()
while [ $# -gt 0 ]; do
  case $1 in
    --quick) quick=true; shift; continue ;;
    --llama-bench) [ $# -ge 3 ] || usage; llama=("$2" "$3"); shift 3; continue ;;
  esac
  [ $# -ge 2 ] || usage
  case $1 in
    --budget) budget=$2 ;;
    --out) out=$2 ;;
    --programs) programs=$(cd "$2" && pwd) || usage ;;
    --models) models+=("$2") ;;
    *) usage ;;
  esac
  shift 2
done
$quick && budget=${budget:-170} || budget=${budget:-510}
PATH=$PATH:/usr/local/cuda/bin
command -v cmake >/dev/null ||
  PATH=$PATH:$(python3 -c 'import cmake; print(cmake.CMAKE_BIN_DIR)' 2>/dev/null)
for tool in nvcc cmake c++ python3; do
  command -v $tool >/dev/null || { echo "gpu_check: no $tool here" >&2; exit 4; }
done
nvidia-smi -L >/dev/null 2>&1 || { echo "gpu_check: no NVIDIA GPU here" >&2; exit 4; }
toolkit=$(dirname "$(dirname "$(readlink -f "$(command -v nvcc)")")")
mkdir -p "$out" build && out=$(cd "$out" && pwd) || exit 4
log=$out/log.txt
rm -f "$log" "$out"/report.*
start=$SECONDS
say() { printf '[%3d s] %s\n' $((SECONDS - start)) "$*"; }

# In the log a step is what stands between "=== NAME" and "--- OUTCOME NAME SECONDS SAID".
report() { python3 scripts/gpu_report.py "$out"; }
note() {
  printf '\n--- %s %s %d %s\n' "$@" >>"$log"
  report >/dev/null 2>&1
}
skip() {
  note skipped "$1" 0 "$2"
  say "skipped $1: $2"
}

# step NAME SECONDS COMMAND...: runs it with a limit; what it says goes to the log.
step() {
  local name=$1 limit=$2 begun=$SECONDS left said code
  shift 2
  left=$((budget - (SECONDS - start)))
  [ "$left" -ge 10 ] || { skip "$name" "no time left"; return; }
  printf '\n=== %s\n' "$name" >>"$log"
  # Behind, and waited for: a signal is heard at once.
  timeout -k 5 $((limit < left ? limit : left)) "$@" >>"$log" 2>&1 &
  wait $!
  code=$?
  said=$(tail -c 2000 "$log" | tail -1 | tr -d '\r' | cut -c1-100)
  if [ "$code" -eq 0 ]; then
    note ok "$name" $((SECONDS - begun)) "$said"
    say "ok      $name: $said"
  elif [ "$code" -eq 124 ] && [ "$left" -lt "$limit" ]; then
    note skipped "$name" $((SECONDS - begun)) "cut short, no time left; $said"
    say "cut     $name: no time left; $said"
  else
    [ "$code" -ne 124 ] || said="ran out of its time; $said"
    note failed "$name" $((SECONDS - begun)) "$said"
    say "FAILED  $name (exit $code)"
    sed -n "/^=== $name\$/,/^--- /p" "$log" | tail -15 | cut -c1-200
  fi
}
# The same for a program that a step before may not have made.
step_of() {
  if [ -x "$3" ] || command -v "$3" >/dev/null; then step "$@"; else skip "$1" "no $3"; fi
}

# What the builds said.
builds=()
gather() {
  [ ${#builds[@]} -eq 0 ] || cat "${builds[@]}" >>"$log"
  builds=()
}

finish() {
  trap - EXIT
  gather
  report || say "no report: see the log"
  local failed
  failed=$(grep -c '^--- failed' "$log" 2>/dev/null)
  say "${failed:-0} failed; log.txt and report.md in $out"
  [ "${failed:-0}" -eq 0 ] || exit 1
}
trap finish EXIT
trap 'note failed gpu_check 0 "ended by a signal"; kill $(jobs -p); exit 1' INT TERM HUP

capability=$(nvidia-smi --query-gpu=compute_cap --format=csv,noheader | head -1 | tr -d .)
[ "$capability" = 90 ] && capability=90a
about=name,driver_version,clocks.sm,clocks.mem,power.limit
# Older drivers do not know the last field.
step device 20 bash -c "nvidia-smi --query-gpu=$about,clocks_event_reasons.active \
  --format=csv,noheader 2>/dev/null || nvidia-smi --query-gpu=$about --format=csv,noheader"

# ---- Build: tests, micro-benchmarks and programs, side by side, each with a log of its own until
# both are done.
# build NAME SOURCE FOLDER TARGETS OPTION...
build() {
  local name=$1 source=$2 folder=$3 targets=$4 log=build/gpu-$1.txt generator=()
  shift 4
  command -v ninja >/dev/null && generator=(-G Ninja)
  rm -f "$log"
  step "$name" 240 bash -c 'source=$1 folder=$2 targets=$3; shift 3
    cmake -S "$source" -B "$folder" "$@" && cmake --build "$folder" -j "$(nproc)" --target $targets' _ \
    "$source" "$folder" "$targets" "${generator[@]}" "-DHONE_CUDA_ARCHITECTURES=$capability-real" "$@"
}
has_packages() { [ -f /usr/include/CLI/CLI.hpp ] && [ -f /usr/include/hwy/highway.h ]; }
if [ -z "$programs" ] && ! has_packages && command -v apt-get >/dev/null &&
  { [ "$(id -u)" -eq 0 ] || sudo -n true 2>/dev/null; }; then
  step packages 60 bash -c 'timeout 50 scripts/setup || echo "not to be had here"'
fi
device=build/gpu-device
build build_tests tests/cuda/device $device \
  "cuda_device_check matvec_bench attention_bench gemm_bench" &
builds=(build/gpu-build_tests.txt)
if [ -z "$programs" ] && has_packages; then
  build build_programs . build/gpu-programs "hone-generate hone-benchmark hone-fuse-check hone_cuda" \
    -DHONE_CUDA=ON -DHONE_TESTS=OFF &
  builds+=(build/gpu-build_programs.txt)
  programs=$PWD/build/gpu-programs
fi
wait
gather

# ---- Right?
step_of device_check 120 $device/cuda_device_check
generate=$programs/bin/hone-generate benchmark=$programs/bin/hone-benchmark
[ -n "$programs" ] || say "no programs: scripts/gpu_bundle makes them where packages are"
# For them alone: torch has libraries of its own.
libraries=(env "LD_LIBRARY_PATH=$programs/lib:$toolkit/lib64:${LD_LIBRARY_PATH:-}")
if [ -x "$generate" ]; then
  step tokens 120 "${libraries[@]}" \
    bash tests/cuda/device/compare_tokens.sh "$programs/bin" testdata "${models[@]}"
  step fused 60 "${libraries[@]}" "$programs/bin/hone-fuse-check" testdata/tiny-qwen3 --device cuda
else
  skip tokens "no hone-generate"
fi
if [ -x "$generate" ] && [ "$(nvidia-smi -L | wc -l)" -gt 1 ] && command -v mpirun >/dev/null; then
  step ranks 60 "${libraries[@]}" bash tests/cuda/device/compare_ranks.sh "$programs/bin" \
    testdata/storyteller testdata/tiny-qwen3 testdata/tiny-gpt2
else
  skip ranks "needs two GPUs, mpirun and hone-generate"
fi

# ---- Fast?
step_of matvec 60 $device/matvec_bench
step_of attention 60 $device/attention_bench
step_of gemm 60 $device/gemm_bench tokens=16 tokens=32 tokens=64 tokens=256 tokens=2048
decode() {
  local shape=$1 scheme=$2 quantized=()
  [ "$scheme" = none ] || quantized=(--scheme "$scheme")
  if [ -x "$benchmark" ]; then
    step "decode_${shape}_$scheme" 90 "${libraries[@]}" "$benchmark" "random:$shape" \
      "${quantized[@]}" --device cuda --prefill 512,2048 --decode 128 --repetitions 3 --json
  else
    skip "decode_${shape}_$scheme" "no hone-benchmark"
  fi
}
decode llama-3.1-8b none
if ! $quick; then
  decode llama-3.1-8b w4a16
  decode llama-3.1-8b w8a16
  decode llama-3.2-1b none
  decode qwen3-0.6b none
fi
if python3 -c 'import torch' 2>/dev/null; then
  step peers 150 python3 scripts/gpu_peers.py $($quick && echo --quick)
else
  skip peers "no torch"
fi
[ ${#llama[@]} -eq 0 ] ||
  step llama_bench 100 "${llama[0]}" -m "${llama[1]}" -ngl 99 -p 512,2048 -n 128

# ---- Right where nothing shows it? Slow, so last.
$quick && exit
check=$device/cuda_device_check
if command -v compute-sanitizer >/dev/null && [ -x "$check" ]; then
  step memcheck 90 compute-sanitizer --error-exitcode 9 "$check" \
    "-tc=*argmax*,*elementwise*,*norm: every length*,*rope_kv_store*,*matvec: every storage*"
  step racecheck 90 compute-sanitizer --tool racecheck --error-exitcode 9 "$check" \
    "-tc=*argmax*,*more tiles than blocks*,*ranges of positions*"
else
  skip memcheck "no compute-sanitizer, or no tests"
  skip racecheck "no compute-sanitizer, or no tests"
fi
