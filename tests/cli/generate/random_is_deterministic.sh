shape=random:$TESTDATA/tiny-qwen3/config.json
hone-generate $shape?seed=1 --token-ids 1,2 -n 8 > one
hone-generate $shape?seed=1 --token-ids 1,2 -n 8 | cmp - one
! hone-generate $shape?seed=2 --token-ids 1,2 -n 8 | cmp -s - one
