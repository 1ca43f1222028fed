# -p, -f, an argument and standard input are the same prompt.
model=$TESTDATA/tiny-llama
printf 'The cat' > prompt
{ hone-generate $model -p 'The cat' -n 8; echo; hone-generate $model -f prompt -n 8; echo
  hone-generate $model 'The cat' -n 8; echo; hone-generate $model -n 8 < prompt; echo
  hone-generate $model -f - -n 8 < prompt; echo; } | uniq | wc -l
