#!/usr/bin/env bash
# compare_tokens.sh PROGRAMS FOLDER...: every model in the folders continues a prompt greedily on
# the GPU as on the CPU, both without rounding of activations.
set -u
programs=$1
shift
same=0 different=0
for folder in "$@"; do
  for model in "$folder"/*; do
    [ -f "$model/config.json" ] || continue
    ids() {
      "$programs/hone-generate" "$model" --device "$1" --compute f32 --kv-type f32 \
        --token-ids 5,6,7,8,9,10,11,12,13 -n "$2" 2>&1
    }
    if [ "$(ids cpu 24)" = "$(ids cuda 24)" ]; then
      same=$((same + 1))
    else
      different=$((different + 1))
      echo "$model: cpu $(ids cpu 24)"
      echo "$model: cuda $(ids cuda 24)"
    fi
  done
done
echo "$same models with the same tokens, $different with others"
[ "$different" -eq 0 ] && [ "$same" -gt 0 ]
