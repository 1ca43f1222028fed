#!/usr/bin/env python3
"""Writes decoded.txt and encoded.txt next to itself: what the `gguf` package (pip install gguf
numpy) makes of random blocks, for tests/codec. Deterministic.

decoded.txt: type, hex of one random block, hex of the float32 values it decodes to.
encoded.txt: type, hex of 32 float32 values, hex of the block they are encoded to.
Floats are little-endian.
"""
import pathlib

import gguf
import numpy as np
from gguf import quants

HERE = pathlib.Path(__file__).parent
# Byte offsets of the f16 fields of each type: random bits there would be NaN or huge.
F16_FIELDS = {
    "Q8_0": [0], "Q4_0": [0], "Q4_1": [0, 2], "Q5_0": [0], "Q5_1": [0, 2],
    "Q4_K": [0, 2], "Q5_K": [0, 2], "Q6_K": [208],
    "IQ4_NL": [0], "IQ4_XS": [0], "MXFP4": [],
}
# An everyday value, a subnormal, the largest finite one, a negative one.
F16_CHOICES = [(0x1C9A, 0x2A55), (0x0003, 0x0201), (0x7BFF, 0xFBFF)]


def decoded(rng):
    for name, fields in F16_FIELDS.items():
        kind = getattr(gguf.GGMLQuantizationType, name)
        size = gguf.GGML_QUANT_SIZES[kind][1]
        for choice in F16_CHOICES:
            block = rng.integers(0, 256, size, dtype=np.uint8)
            for offset, bits in zip(fields, choice):
                block[offset : offset + 2] = np.array([bits], dtype="<u2").view(np.uint8)
            values = quants.dequantize(block, kind).astype("<f4")
            yield f"{name} {block.tobytes().hex()} {values.tobytes().hex()}"


def encoded(rng):
    shapes = [
        rng.standard_normal(32),
        rng.standard_normal(32) * 1e-3,
        rng.uniform(2, 3, 32),  # one sign only
        np.zeros(32),
        np.full(32, -0.7),
        np.arange(-16, 16) / 2,  # many ties
        np.where(np.arange(32) % 2, 5.0, -5.0),  # largest magnitude twice, with both signs
        rng.standard_normal(32) * 1e-6,  # scale is a subnormal f16
    ]
    for name in ["Q8_0", "Q4_0", "Q4_1"]:
        kind = getattr(gguf.GGMLQuantizationType, name)
        for values in shapes:
            values = values.astype("<f4")
            block = quants.quantize(values.reshape(1, 32), kind)
            yield f"{name} {values.tobytes().hex()} {block.tobytes().hex()}"


def main():
    for name, make in [("decoded.txt", decoded), ("encoded.txt", encoded)]:
        rng = np.random.default_rng(1)
        (HERE / name).write_text("\n".join(make(rng)) + "\n")


if __name__ == "__main__":
    main()
