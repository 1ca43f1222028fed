# Completions parse in the shell they are for; the man page has its sections.
hone-benchmark --hone-completion bash | bash -n
hone-benchmark --hone-completion bash | grep -q -- --version
hone-benchmark --hone-completion zsh | head -1 | grep -q '^#compdef hone-benchmark$'
hone-benchmark --hone-completion fish | grep -q '^complete -c hone-benchmark -l version '
hone-benchmark --hone-man > page
for section in NAME SYNOPSIS OPTIONS EXAMPLES; do grep -q "^.SH \"*$section" page; done
if command -v man > /dev/null; then man --warnings -l page 2>&1 >/dev/null | { ! grep .; }; fi
