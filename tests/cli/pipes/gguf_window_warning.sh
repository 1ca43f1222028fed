# llama.cpp ignores the window of Mistral's form: who writes such a file is told.
hone-quantize "$TESTDATA"/tiny-mistral --scheme f16 -o model.gguf 2>&1 | grep -o 'warning: .*'
