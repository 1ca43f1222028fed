# A quarter gone: still a model that all tools take.
hone-prune "$TESTDATA"/storyteller --pattern heads --sparsity 0.25 | hone-quantize --scheme w8a16 -o small
hone-generate small -p 'Once upon a time' -n 20 > text
hone-fuse-check small --no-time > table
hone-benchmark small --no-speed --text "$TESTDATA"/text/stories.txt --max-windows 2 > quality
