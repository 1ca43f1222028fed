# Completions parse in the shell they are for; the man page has its sections.
hone-generate --hone-completion bash | bash -n
hone-generate --hone-completion bash | grep -q -- --version
hone-generate --hone-completion zsh | head -1 | grep -q '^#compdef hone-generate$'
hone-generate --hone-completion fish | grep -q '^complete -c hone-generate -l version '
hone-generate --hone-man > page
for section in NAME SYNOPSIS OPTIONS EXAMPLES; do grep -q "^.SH \"*$section" page; done
if command -v man > /dev/null; then man --warnings -l page 2>&1 >/dev/null | { ! grep .; }; fi
