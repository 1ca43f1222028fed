# exit 2
hone-quantize "$TESTDATA"/tiny-llama-bf16 --scheme w4a16 -o best.safetensors
HONE_CPU=scalar hone-quantize "$TESTDATA"/tiny-llama-bf16 --scheme w4a16 -o scalar.safetensors 2> said || true
grep -q "HONE_CPU: no instructions 'scalar'" said || cmp best.safetensors scalar.safetensors || exit 1
HONE_CPU=mmx hone-quantize "$TESTDATA"/tiny-llama-bf16 --scheme w4a16 -o none.safetensors
