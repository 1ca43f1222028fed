# Completions parse in the shell they are for; the man page has its sections.
hone-quantize --hone-completion bash | bash -n
hone-quantize --hone-completion bash | grep -q -- --version
hone-quantize --hone-completion zsh | head -1 | grep -q '^#compdef hone-quantize$'
hone-quantize --hone-completion fish | grep -q '^complete -c hone-quantize -l version '
hone-quantize --hone-man > page
for section in NAME SYNOPSIS OPTIONS EXAMPLES; do grep -q "^.SH \"*$section" page; done
if command -v man > /dev/null; then man --warnings -l page 2>&1 >/dev/null | { ! grep .; }; fi
