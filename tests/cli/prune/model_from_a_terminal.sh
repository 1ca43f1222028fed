# exit 2
command -v script > /dev/null || { echo 'no program script' >&2; exit 77; }
script -qec 'hone-prune --sparsity 0.5 > out' /dev/null < /dev/null
