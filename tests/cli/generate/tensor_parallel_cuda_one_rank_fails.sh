# exit 4
# The second rank's device fails where the first one's waits for it, and hears nothing.
FAKE_NCCL_FAILS=1 emulated_gpu ranks 2 hone-generate "$TESTDATA"/tiny-llama --device cuda \
  --tensor-parallel 2 --token-ids 1,2,3 -n 6
