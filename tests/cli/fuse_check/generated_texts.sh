# Completions parse in the shell they are for; the man page has its sections.
hone-fuse-check --hone-completion bash | bash -n
hone-fuse-check --hone-completion bash | grep -q -- --version
hone-fuse-check --hone-completion zsh | head -1 | grep -q '^#compdef hone-fuse-check$'
hone-fuse-check --hone-completion fish | grep -q '^complete -c hone-fuse-check -l version '
hone-fuse-check --hone-man > page
for section in NAME SYNOPSIS OPTIONS EXAMPLES; do grep -q "^.SH \"*$section" page; done
if command -v man > /dev/null; then man --warnings -l page 2>&1 >/dev/null | { ! grep .; }; fi
