# Completions parse in the shell they are for; the man page has its sections.
hone-prune --hone-completion bash | bash -n
hone-prune --hone-completion bash | grep -q -- --version
hone-prune --hone-completion zsh | head -1 | grep -q '^#compdef hone-prune$'
hone-prune --hone-completion fish | grep -q '^complete -c hone-prune -l version '
hone-prune --hone-man > page
for section in NAME SYNOPSIS OPTIONS EXAMPLES; do grep -q "^.SH \"*$section" page; done
if command -v man > /dev/null; then man --warnings -l page 2>&1 >/dev/null | { ! grep .; }; fi
