#!/usr/bin/env python3
"""Lists, for every CUDA kernel and each of its forms, the tests that run it on the emulator, and
fails where there is none: a kernel, or a form of a template, that nothing compares with the
reference. And where tests use what their stand-in for doctest, on machines with a GPU, does not have.

    SIMT_LAUNCHES=FILE build/release/bin/cuda_plain_test
    scripts/check_kernel_tests.py build/release/bin/cuda_plain_test FILE [--list]
"""
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
KERNELS, TESTS = ROOT / "kernels/cuda", ROOT / "tests"
STAND_IN = TESTS / "cuda/device/doctest/doctest.h"
# Tests that run kernels without looking at what they compute.
NO_COMPARISON = re.compile(r"record:|faults:")
SHORT = re.compile(r"hone::(cuda::|simt::)?|\(anonymous namespace\)::|matvec_detail::|prefill_detail::")


def declared():
    """Names of the kernels in the sources."""
    heads = [head for source in sorted(KERNELS.glob("*.cu*"))
             for head in re.findall(r"__global__([^{]*){", source.read_text())]
    return {re.search(r"(\w+_kernel)\(|$", head)[1] or f"not named so: {head}" for head in heads}


def compiled(program):
    """{address: name} of the kernels in the program, a name for each form of a template."""
    text = subprocess.run(["nm", "-C", program], capture_output=True, text=True, check=True).stdout
    found = {}
    for address, name in re.findall(r"^([0-9a-f]+) [tTwW] (.*)$", text, re.M):
        kernel = re.match(r"(?:void )?((?:hone::)?[\w:()\s]*?\w+_kernel(?:<.*>)?)\((?!\*)",
                          SHORT.sub("", name))
        if kernel and "launch<" not in name:
            found[int(address, 16)] = kernel[1]
    return found


def missing_macros():
    """Macros of doctest that tests use and its stand-in for machines with a GPU does not have."""
    has = set(re.findall(r"#define (\w+)\(", STAND_IN.read_text()))
    used = set()
    for source in [*TESTS.glob("cuda/*_test.cpp"), *TESTS.glob("simt/*_test.cpp")]:
        code = re.sub(r"^#ifndef __CUDACC__$.*?^#endif$", "", source.read_text(), flags=re.M | re.S)
        used |= set(re.findall(r"\b((?:CHECK|REQUIRE|WARN|FAIL|SUBCASE)\w*)\(", code))
    return used - has


def main():
    program, launches = [a for a in sys.argv[1:] if not a.startswith("--")]
    kernels = compiled(program)
    tests = {name: [] for name in kernels.values()}
    for line in Path(launches).read_text().splitlines():
        address, test = line.split(" ", 1)
        if int(address, 16) not in kernels:
            sys.exit(f"{launches}: is of another build of {program}")
        if not NO_COMPARISON.match(test):
            tests[kernels[int(address, 16)]].append(test)
    if "--list" in sys.argv:
        for name, of in sorted(tests.items()):
            print(f"{name:72s} {'; '.join(of) or 'NO TEST'}")
    faults = [f"{name}: no test runs it" for name, of in sorted(tests.items()) if not of]
    bare = {name.split("<")[0] for name in tests}
    faults += [f"{name}: is not in {program}" for name in sorted(declared() - bare)]
    faults += [f"{name}: {STAND_IN.relative_to(ROOT)} has no such macro"
               for name in sorted(missing_macros())]
    print("\n".join(faults + [f"{len(tests)} kernels run by tests on the emulator, "
                              f"{len(faults)} faults"]))
    return 1 if faults or not tests else 0


if __name__ == "__main__":
    sys.exit(main())
