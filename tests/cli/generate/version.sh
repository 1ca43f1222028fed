hone-generate --version
