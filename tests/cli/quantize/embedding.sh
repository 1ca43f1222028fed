# hone reads it; transformers does not, and that is said.
hone-quantize "$TESTDATA"/storyteller --scheme w8a16 --set embed=w8a16 -o out 2> said
grep 'warning: .*: 1 tensors are embeddings; transformers cannot load a quantized Embedding' said > /dev/null
hone-generate out -p 'Once upon' -n 4
