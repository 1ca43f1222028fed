hone-fuse-check --version
