#!/usr/bin/env python3
"""Runs the command-line cases: tests/cli/<tool>/<case>.sh, a few lines of shell each.

A case runs with `bash -eu` in an empty directory, PATH starting with the programs and TESTDATA set.
Beside it may lie <case>.stdout and <case>.stderr (golden text; default for stdout when absent:
anything), and a first comment `# exit N` states the exit code (default 0). In golden text a line
may hold `...`, which stands for anything.

    tests/cli/run.py BIN_DIR [--update] [FILTER]
"""
import os
import re
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

HERE = Path(__file__).resolve().parent
TIMEOUT_SECONDS = 300


def matches(golden, actual):
    pattern = ".*".join(re.escape(part) for part in golden.split("..."))
    return re.fullmatch(pattern, actual, re.S) is not None


def environment(bin_dir):
    env = dict(os.environ)
    env["PATH"] = f"{bin_dir}:{env['PATH']}"
    env["TESTDATA"] = str(HERE.parent.parent / "testdata")
    env["LC_ALL"] = "C"
    return env


def run_case(case, bin_dir, update):
    wanted = re.search(r"^# exit (\d+)", case.read_text(), re.M)
    code = int(wanted.group(1)) if wanted else 0
    with tempfile.TemporaryDirectory(prefix="hone-case-") as empty:
        try:
            result = subprocess.run(["bash", "-eu", "-o", "pipefail", str(case)], cwd=empty,
                                    env=environment(bin_dir), stdin=subprocess.DEVNULL,
                                    capture_output=True, timeout=TIMEOUT_SECONDS)
        except subprocess.TimeoutExpired:
            return [f"took more than {TIMEOUT_SECONDS} s"]
    faults = []
    if result.returncode != code:
        faults.append(f"exit {result.returncode}, expected {code}")
    for stream in ("stdout", "stderr"):
        golden = case.with_suffix("." + stream)
        text = getattr(result, stream).decode(errors="replace")
        if golden.exists() and not matches(golden.read_text(), text):
            if update:
                golden.write_text(text)
            faults.append(f"{stream} is\n{text}\nnot\n{golden.read_text()}")
    if faults:
        faults.append("stderr: " + result.stderr.decode(errors="replace")[-2000:])
    return faults


def main():
    arguments = [a for a in sys.argv[1:] if a != "--update"]
    update = "--update" in sys.argv
    if not arguments:
        sys.exit(__doc__)
    bin_dir = Path(arguments[0]).resolve()
    cases = sorted(HERE.glob("*/*.sh"))
    if len(arguments) > 1:
        cases = [c for c in cases if arguments[1] in str(c)]
    failed = 0
    with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        for case, faults in zip(cases, pool.map(lambda c: run_case(c, bin_dir, update), cases)):
            if faults:
                failed += 1
                print(f"FAILED {case.relative_to(HERE)}: " + "\n".join(faults))
    print(f"{len(cases) - failed} of {len(cases)} command-line cases passed")
    sys.exit(1 if failed or not cases else 0)


if __name__ == "__main__":
    main()
