# A GGUF file's exact values as plain weights.
hone-quantize "$TESTDATA"/tiny-llama --scheme q8_0 -o model.gguf
hone-quantize model.gguf --scheme f32 -o plain
for each in model.gguf plain; do hone-generate $each --device ref --token-ids 5,6,7 -n 8; done | uniq | wc -l | grep -qx 1
