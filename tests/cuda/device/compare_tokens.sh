#!/usr/bin/env bash
# compare_tokens.sh PROGRAMS FOLDER...: every model in the folders continues a prompt greedily on
# the GPU, and split between both, as on the CPU, all without rounding of activations; and samples
# the same text with and without CUDA graphs. Four models at a time: most of it is starting up.
set -u
export programs=$1
shift
ids() {
  "$programs/hone-generate" "$model" --compute f32 --kv-type f32 \
    --token-ids 5,6,7,8,9,10,11,12,13 -n 24 --device "$@" 2>&1
}
sampled() {
  "$programs/hone-generate" "$model" --device cuda --token-ids 5,6,7 -n 24 \
    --temperature 0.8 --top-k 40 --top-p 0.9 --min-p 0.01 "$@" 2>&1
}
# Says "same MODEL", or what differs. A fault is no answer, though both may have it.
compare() {
  local model=$1 greedy_cpu="" greedy_cuda="" greedy_split="" recorded="" launched=""
  if greedy_cpu=$(ids cpu) && greedy_cuda=$(ids cuda) && greedy_split=$(ids cuda --gpu-layers 1) &&
    recorded=$(sampled) && launched=$(sampled --no-cuda-graph) &&
    [ "$greedy_cpu" = "$greedy_cuda" ] && [ "$greedy_cpu" = "$greedy_split" ] &&
    [ "$recorded" = "$launched" ]; then
    echo "same $model"
    return
  fi
  printf "$model: %s\n" "cpu $greedy_cpu" "cuda $greedy_cuda" "split $greedy_split" \
    "sampled $recorded" "sampled, no graph $launched" "different"
}
export -f ids sampled compare

for folder in "$@"; do
  for model in "$folder"/*; do
    [ -f "$model/config.json" ] && printf '%s\0' "$model"
  done
done | xargs -0 -r -n 1 -P 4 bash -c 'said=$(compare "$1"); echo "$said"' _ | {
  said=$(cat)
  grep -v '^same ' <<<"$said"
  same=$(grep -c '^same ' <<<"$said") different=$(grep -c ': different$' <<<"$said")
  echo "$same models with the same tokens, $different with others"
  [ "$different" -eq 0 ] && [ "$same" -gt 0 ]
}
