# A model that has the type already can still be put into another container.
hone-quantize "$TESTDATA"/tiny-llama --scheme f32 -o model.gguf
hone-generate model.gguf --prompts <(expected prompts tiny-llama) | expected ids | diff - <(expected answers tiny-llama)
