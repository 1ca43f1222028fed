# Two ranks on GPUs, of which NCCL passes sums from one to the other, give the official
# implementation's tokens: prompts decoded together, steps recorded.
emulated_gpu ranks 2 hone-generate --version > version
expected prompts tiny-qwen3 > many
emulated_gpu ranks 2 hone-generate "$TESTDATA"/tiny-qwen3 --device cuda --tensor-parallel 2 \
  --compute f32 --kv-type f32 --prompts many -v > answers 2> said
grep -q 'ranks pass sums by NCCL 1.2.3, from device to device' said
expected ids < answers > ids
expected answers tiny-qwen3 | diff - ids
