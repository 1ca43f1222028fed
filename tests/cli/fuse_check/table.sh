hone-fuse-check "$TESTDATA"/tiny-llama > table
grep -q 'gated-matmul' table && grep -q '^Not fused, and why:' table && grep -q '^launches .* -> ' table
