hone-benchmark --version
