#!/usr/bin/env python3
"""Checks the direction of the arrows: a file includes from its own folder or from a floor below,
never up, never sideways. The floors are the table here; it runs as a test."""
import re
import sys
from pathlib import Path

# Folder -> floor. Folders of one floor are blind to each other.
FLOORS = [
    {"kernels/": 0},  # check dtype formats tensor_view parallel: see KERNELS
    {"libcommon/base/": 2},
    {"libcommon/io/": 3, "libcommon/ranks/": 3},
    {"libcommon/text/": 4, "libcommon/bench/": 4, "libcommon/cli/": 4},
    {"libcommon/chat/": 4.2},
    {"libcommon/model/": 4.5},  # reads a GGUF's vocabulary through text
    {"libcommon/graph/": 5},
    {"libcommon/run/": 6},
    {"libcommon/compress/": 7},
    {"libcommon/prune/": 8, "libcommon/quant/": 8},
    {"tools/": 9},
]
# Inside kernels/: single headers first, then folders; the face (open.*) above all backends.
KERNELS = {
    "kernels/check.h": 0.0, "kernels/dtype.h": 0.1, "kernels/formats.h": 0.2,
    "kernels/parallel.": 0.2, "kernels/host_memory.": 0.2, "kernels/arena.h": 0.2, "kernels/probe.h": 0.2, "kernels/shared_library.h": 0.2,
    "kernels/out_of_device_memory.h": 0.2,
    "kernels/convert.h": 0.2, "kernels/tensor_view.h": 0.3, "kernels/codec/": 0.4,
    "kernels/random.h": 0.1, "kernels/no_memory.h": 0.1, "kernels/sample.h": 0.45,
    "kernels/kv_tile.": 0.45, "kernels/ops.h": 0.5, "kernels/device_group.h": 0.5, "kernels/backend.h": 0.6, "kernels/simt/": 0.7,
    "kernels/ref/": 0.8, "kernels/cpu/": 0.8, "kernels/cuda/": 0.8,
    "kernels/open_cuda.h": 0.65, "kernels/no_cuda/": 0.8, "kernels/cuda_plugin/": 0.85,
    "kernels/open.": 0.9,
}
# What floors above may see of kernels/.
PUBLIC_KERNELS = ("kernels/check.h", "kernels/dtype.h", "kernels/formats.h", "kernels/tensor_view.h",
                  "kernels/parallel.h", "kernels/kv_tile.h", "kernels/random.h", "kernels/sample.h", "kernels/ops.h", "kernels/backend.h",
                  "kernels/device_group.h", "kernels/open.h", "kernels/codec/codec.h", "kernels/probe.h",
                  "kernels/convert.h", "kernels/host_memory.h", "kernels/shared_library.h",
                  "kernels/out_of_device_memory.h", "kernels/no_memory.h")
INCLUDE = re.compile(r'^\s*#\s*include\s+"([^"]+)"', re.M)


def floor_and_folder(path):
    for prefix, level in KERNELS.items():
        if path.startswith(prefix):
            return level, prefix
    for level in FLOORS:
        for prefix, number in level.items():
            if path.startswith(prefix):
                return number, prefix
    return None, None


def fault(source, target):
    here, folder = floor_and_folder(source)
    there, other = floor_and_folder(target)
    if there is None:
        return "includes what is on no floor"
    if other == folder or there < here and (here < 1 or there >= 1):
        return None
    if here >= 1 > there:
        return None if target in PUBLIC_KERNELS else "reaches inside kernels/"
    return "includes sideways" if here == there else "includes upwards"


def main():
    root = Path(__file__).resolve().parent.parent
    faults = 0
    for folder in ("kernels", "libcommon", "tools"):
        for file in sorted((root / folder).rglob("*")):
            if file.suffix not in (".h", ".cpp", ".cu", ".cuh"):
                continue
            source = file.relative_to(root).as_posix()
            for target in INCLUDE.findall(file.read_text()):
                if target.startswith("hwy/") or not (root / target).exists() and "/" not in target:
                    continue
                why = fault(source, target)
                if why:
                    print(f"{source}: {why}: {target}")
                    faults += 1
    print(f"layers: {faults} faults")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
