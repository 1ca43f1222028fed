#!/usr/bin/env bash
# Checks and measures the CUDA backend on the GPU of this machine, in one run: builds for its
# architecture, runs every op test on it, greedy tokens against the CPU's, benchmarks against the
# roofline and the peers that are here, compute-sanitizer over the tests; writes logs, report.json
# and report.md to a folder and prints a short table last.
#   scripts/gpu_check.sh [--quick] [--budget SECONDS] [--out DIR] [--programs DIR] [--models DIR]...
#                        [--llama-bench PROGRAM MODEL.gguf]
# Needs the CUDA toolkit, CMake, a C++20 compiler and python3 (with torch for the peers). The
# programs are built where Debian's packages are installed, or taken from what scripts/gpu_bundle
# made elsewhere (--programs). --models: more models whose tokens are compared. --budget: what does
# not fit so many seconds, 510 by default, is left out; the reports are written in any case, also
# when the run is ended from outside. Exit 1: a step failed.
set -uo pipefail
cd "$(dirname "$0")/.."
usage() { sed -n '2,14p' "$0" >&2; exit 2; }
quick=false budget=510 out=build/gpu programs="" models=() llama=()
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
command -v nvcc >/dev/null || PATH=$PATH:/usr/local/cuda/bin
command -v nvcc >/dev/null || { echo "gpu_check: no nvcc; is the CUDA toolkit installed?" >&2; exit 4; }
nvidia-smi -L >/dev/null 2>&1 || { echo "gpu_check: no NVIDIA GPU here" >&2; exit 4; }
mkdir -p "$out" && out=$(cd "$out" && pwd) || exit 4
rm -f "$out"/*.log "$out"/report.* "$out/steps.tsv"
start=$SECONDS
say() { printf '[%3d s] %s\n' $((SECONDS - start)) "$*"; }

# Of every step: ok, failed or skipped; its name, its seconds, the end of what it said.
note() { printf '%s\t%s\t%s\t%s\n' "$@" >>"$out/steps.tsv"; }
skip() {
  note skipped "$1" 0 "$2"
  say "skipped $1: $2"
}

# step NAME SECONDS COMMAND...: runs it with a limit; its output goes to $out/NAME.log.
step() {
  local name=$1 limit=$2 begun=$SECONDS left last code
  shift 2
  left=$((budget - (SECONDS - start)))
  [ "$left" -ge 10 ] || { skip "$name" "no time left"; return; }
  # Behind, and waited for: a signal is heard at once.
  timeout -k 5 $((limit < left ? limit : left)) "$@" >"$out/$name.log" 2>&1 &
  wait $!
  code=$?
  last=$(tail -1 "$out/$name.log" | tr -d '\r' | tr '\t' ' ' | cut -c1-100)
  if [ "$code" -eq 0 ]; then
    note ok "$name" $((SECONDS - begun)) "$last"
    say "ok      $name: $last"
  else
    [ "$code" -ne 124 ] || last="ran out of its time; $last"
    note failed "$name" $((SECONDS - begun)) "$last"
    say "FAILED  $name (exit $code)"
    tail -15 "$out/$name.log" | cut -c1-200
  fi
}
# The same for a program that a step before may not have made.
step_of() {
  if [ -x "$3" ] || command -v "$3" >/dev/null; then step "$@"; else skip "$1" "no $3"; fi
}

report() {
  trap - EXIT
  python3 scripts/gpu_report.py "$out" || say "no report: see the logs"
  local failed
  failed=$(grep -c ^failed "$out/steps.tsv" 2>/dev/null)
  say "${failed:-0} failed; logs and report.md in $out"
  [ "${failed:-0}" -eq 0 ] || exit 1
}
trap report EXIT
trap 'note failed gpu_check 0 "ended by a signal"; kill $(jobs -p); exit 1' INT TERM HUP

capability=$(nvidia-smi --query-gpu=compute_cap --format=csv,noheader | head -1 | tr -d .)
[ "$capability" = 90 ] && capability=90a
about=name,driver_version,clocks.sm,clocks.mem,power.limit
for fields in $about,clocks_event_reasons.active $about; do  # older drivers do not know the first
  nvidia-smi --query-gpu=$fields --format=csv,noheader >"$out/device.txt" 2>&1 && break
done
say "$(head -1 "$out/device.txt")"

# ---- Build: tests, micro-benchmarks and programs, side by side.
# build NAME SOURCE FOLDER TARGETS OPTION...
build() {
  local name=$1 source=$2 folder=$3 targets=$4
  shift 4
  step "$name" 240 bash -c 'source=$1 folder=$2 targets=$3; shift 3
    cmake -S "$source" -B "$folder" -DHONE_CUDA_ARCHITECTURES="$@" &&
      cmake --build "$folder" -j "$(nproc)" --target $targets' _ \
    "$source" "$folder" "$targets" "$capability-real" "$@"
}
build build_tests tests/cuda/device "$out/device" \
  "cuda_device_check matvec_bench attention_bench gemm_bench" &
if [ -z "$programs" ] && [ -f /usr/include/CLI/CLI.hpp ] && [ -f /usr/include/hwy/highway.h ]; then
  build build_programs . build/gpu-programs "hone-generate hone-benchmark hone_cuda" \
    -DHONE_CUDA=ON -DHONE_TESTS=OFF &
  programs=$PWD/build/gpu-programs
fi
wait

# ---- Right?
step_of device_check 120 "$out/device/cuda_device_check"
generate=$programs/bin/hone-generate benchmark=$programs/bin/hone-benchmark
[ -n "$programs" ] || say "no programs: scripts/gpu_bundle makes them where packages are"
[ -z "$programs" ] || export LD_LIBRARY_PATH=$programs/lib:${LD_LIBRARY_PATH:-}
if [ -x "$generate" ]; then
  step tokens 120 bash tests/cuda/device/compare_tokens.sh "$programs/bin" testdata "${models[@]}"
else
  skip tokens "no hone-generate"
fi

# ---- Fast?
for bench in matvec attention gemm; do step_of "$bench" 100 "$out/device/${bench}_bench"; done
for shape in llama-3.1-8b llama-3.2-1b; do
  for scheme in none w4a16 w8a16; do
    $quick && [ "$scheme" != none ] && continue
    quantized=(--scheme "$scheme")
    [ "$scheme" != none ] || quantized=()
    step_of "decode_${shape}_$scheme" 100 "$benchmark" "random:$shape" "${quantized[@]}" \
      --device cuda --prefill 512,2048 --decode 128 --repetitions 3 --json
  done
done
if python3 -c 'import torch' 2>/dev/null; then
  step peers 150 python3 scripts/gpu_peers.py $($quick && echo --quick)
else
  skip peers "no torch"
fi
[ ${#llama[@]} -eq 0 ] ||
  step llama_bench 100 "${llama[0]}" -m "${llama[1]}" -ngl 99 -p 512,2048 -n 128

# ---- Right where nothing shows it? Slow, so last.
$quick && exit
check=$out/device/cuda_device_check
if command -v compute-sanitizer >/dev/null && [ -x "$check" ]; then
  step memcheck 90 compute-sanitizer --error-exitcode 9 "$check" \
    "-tc=*argmax*,*elementwise*,*norm: every length*,*rope_kv_store*,*matvec: every storage*"
  step racecheck 90 compute-sanitizer --tool racecheck --error-exitcode 9 "$check" \
    "-tc=*argmax*,*more tiles than blocks*,*ranges of positions*"
else
  skip memcheck "no compute-sanitizer, or no tests"
fi
