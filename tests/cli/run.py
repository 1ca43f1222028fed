#!/usr/bin/env python3
"""Runs the command-line cases: tests/cli/<tool>/<case>.sh, a few lines of shell each.

A case runs with `bash -eu -o pipefail` in an empty directory, PATH starting with the programs and
tests/cli/support, and TESTDATA set. Beside it may lie <case>.stdout and <case>.stderr (golden text;
when absent: anything), and a first comment `# exit N` states the exit code (default 0). In golden
text `...` stands for anything within a line. Exit code 77 means that the case cannot run here; its
last line on stderr says why. Output of a sanitizer fails any case.

    tests/cli/run.py BIN_DIR [--update] [FILTER]
"""
import os
import re
import signal
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

HERE = Path(__file__).resolve().parent
TIMEOUT_SECONDS = 900  # for what hangs; sanitized on a busy machine, a case may take minutes
SKIPPED = 77
SANITIZER = re.compile(r"AddressSanitizer|ThreadSanitizer|LeakSanitizer|runtime error:")


def matches(golden, actual):
    pattern = ".*".join(re.escape(part) for part in golden.split("..."))
    return re.fullmatch(pattern, actual) is not None


def environment(bin_dir):
    env = dict(os.environ)
    env["PATH"] = f"{bin_dir}:{HERE / 'support'}:{env['PATH']}"
    env["TESTDATA"] = str(HERE.parent.parent / "testdata")
    env["LC_ALL"] = "C"
    env["HWLOC_HIDE_ERRORS"] = "2"  # mpirun's complaints where /sys is not mounted
    return env


def execute(case, bin_dir):
    with tempfile.TemporaryDirectory(prefix="hone-case-") as empty:
        command = ["bash", "-eu", "-o", "pipefail", str(case)]
        with subprocess.Popen(command, cwd=empty, env=environment(bin_dir),
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, start_new_session=True) as shell:
            try:
                stdout, stderr = shell.communicate(timeout=TIMEOUT_SECONDS)
            except subprocess.TimeoutExpired:
                os.killpg(shell.pid, signal.SIGKILL)  # the programs too: they hold the pipes
                raise
        return subprocess.CompletedProcess(command, shell.returncode, stdout, stderr)


def faults_of(case, result, update):
    wanted = re.search(r"^# exit (\d+)", case.read_text(), re.M)
    code = int(wanted.group(1)) if wanted else 0
    faults = []
    if result.returncode != code:
        faults.append(f"exit {result.returncode}, expected {code}")
    for stream in ("stdout", "stderr"):
        golden = case.with_suffix("." + stream)
        text = getattr(result, stream).decode(errors="replace")
        if golden.exists() and not matches(golden.read_text(), text):
            faults.append(f"{stream} is\n{text[:4000]}\nnot\n{golden.read_text()}")
            if update:
                golden.write_text(text)
    stderr = result.stderr.decode(errors="replace")
    if SANITIZER.search(stderr):
        faults.append("a sanitizer speaks")
    if faults:
        faults.append("stderr: " + stderr[-4000:])
    return faults


def run_case(case, bin_dir, update):
    """Faults, and why it was skipped."""
    try:
        result = execute(case, bin_dir)
    except subprocess.TimeoutExpired:
        return [f"took more than {TIMEOUT_SECONDS} s"], None
    if result.returncode == SKIPPED:
        return [], (result.stderr.decode(errors="replace").splitlines() or ["?"])[-1]
    return faults_of(case, result, update), None


def main():
    arguments = [a for a in sys.argv[1:] if not a.startswith("--")]
    update = "--update" in sys.argv
    if not arguments:
        sys.exit(__doc__)
    bin_dir = Path(arguments[0]).resolve()
    cases = sorted(HERE.glob("*/*.sh"))
    if len(arguments) > 1:
        cases = [c for c in cases if arguments[1] in str(c.relative_to(HERE))]
    failed = skipped = 0
    with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        for case, (faults, reason) in zip(
                cases, pool.map(lambda c: run_case(c, bin_dir, update), cases)):
            if faults:
                failed += 1
                print(f"FAILED {case.relative_to(HERE)}: " + "\n".join(faults), flush=True)
            if reason:
                skipped += 1
                print(f"skipped: {case.relative_to(HERE)}: {reason}", flush=True)
    passed = len(cases) - failed - skipped
    print(f"{passed} of {len(cases)} command-line cases passed, {failed} failed, {skipped} skipped")
    sys.exit(1 if failed or not cases else 0)


if __name__ == "__main__":
    main()
