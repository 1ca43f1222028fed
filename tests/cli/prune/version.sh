hone-prune --version
