#!/usr/bin/env bash
# compare_ranks.sh PROGRAMS MODEL...: two ranks, a GPU each, that pass sums by NCCL continue a prompt
# as one rank does.
set -u
programs=$1 same=0 different=0
shift
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
for model in "$@"; do
  ids=("$programs/hone-generate" "$model" --compute f32 --kv-type f32 --token-ids 5,6,7,8,9 -n 24
    --device cuda)
  one=$("${ids[@]}" 2>&1) two=$(mpirun -q -n 2 "${ids[@]}" --tensor-parallel 2 2>&1)
  said=$(mpirun -q -n 2 "${ids[@]}" --tensor-parallel 2 -v 2>&1 | grep 'ranks pass sums')
  if [ "$one" = "$two" ] && [[ $said == *"by NCCL"* ]]; then
    same=$((same + 1))
  else
    different=$((different + 1))
    echo "$model: one rank $one"
    echo "$model: two ranks $two"
    echo "$model: $said"
  fi
done
echo "$same models with the same tokens, $different with others"
[ "$different" -eq 0 ] && [ "$same" -gt 0 ]
