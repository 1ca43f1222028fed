#!/usr/bin/env bash
# compare_tokens.sh PROGRAMS FOLDER...: every model in the folders continues a prompt greedily on
# the GPU, and split between both, as on the CPU, all without rounding of activations; and samples
# the same text with and without CUDA graphs.
set -u
programs=$1
shift
same=0 different=0
for folder in "$@"; do
  for model in "$folder"/*; do
    [ -f "$model/config.json" ] || continue
    greedy_cpu="" greedy_cuda="" greedy_split="" recorded="" launched=""
    ids() {
      "$programs/hone-generate" "$model" --compute f32 --kv-type f32 \
        --token-ids 5,6,7,8,9,10,11,12,13 -n 24 --device "$@" 2>&1
    }
    sampled() {
      "$programs/hone-generate" "$model" --device cuda --token-ids 5,6,7 -n 24 \
        --temperature 0.8 --top-k 40 --top-p 0.9 --min-p 0.01 "$@" 2>&1
    }
    # A fault is no answer, though both may have it.
    if greedy_cpu=$(ids cpu) && greedy_cuda=$(ids cuda) &&
      greedy_split=$(ids cuda --gpu-layers 1) && recorded=$(sampled) &&
      launched=$(sampled --no-cuda-graph) && [ "$greedy_cpu" = "$greedy_cuda" ] &&
      [ "$greedy_cpu" = "$greedy_split" ] && [ "$recorded" = "$launched" ]; then
      same=$((same + 1))
    else
      different=$((different + 1))
      echo "$model: cpu $greedy_cpu"
      echo "$model: cuda $greedy_cuda"
      echo "$model: split $greedy_split"
      echo "$model: sampled $recorded"
      echo "$model: sampled, no graph $launched"
    fi
  done
done
echo "$same models with the same tokens, $different with others"
[ "$different" -eq 0 ] && [ "$same" -gt 0 ]
