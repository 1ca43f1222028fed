hone-quantize --version
