# The writer of the pipe is heard out, and does not see a closed pipe.
hone-prune random:gpt2 --pattern 2:4 | hone-fuse-check --no-run > table
grep -q '^launches' table
