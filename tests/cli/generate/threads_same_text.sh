for threads in 1 2 3; do hone-generate "$TESTDATA"/tiny-bloom --token-ids 5,6,7 -n 24 --threads $threads; done | uniq | wc -l
