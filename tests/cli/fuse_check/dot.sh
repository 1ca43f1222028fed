hone-fuse-check "$TESTDATA"/tiny-llama --no-run --dot graph.dot > /dev/null
grep -q '^digraph' graph.dot && grep -q 'label="before' graph.dot && grep -q 'label="after' graph.dot
test $(grep -c '{' graph.dot) = $(grep -c '}' graph.dot)
if command -v dot > /dev/null; then dot -Tsvg graph.dot > graph.svg; fi
