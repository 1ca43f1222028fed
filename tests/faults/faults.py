#!/usr/bin/env python3
"""What the outside world can do to a run: broken files, killed programs, full disks.

    tests/faults/faults.py BIN_DIR [--quick]

Each fault must give its documented exit code, one line on standard error, and leave nothing behind;
never a crash, a hang, or a word from a sanitizer. Bytes are broken in a model of 4 kB in each
container: cut at every byte of the header and every 97th of the data, and one bit of every header
byte turned over. The tools take turns over the cuts, and meet together at every 41st. Sanitized
programs are slow and get every seventh byte. --quick: a small sample. Exit code 1 on a failure; what
cannot be tried here is named as skipped.
"""
import os
import resource
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
import tiny  # noqa: E402

OK, BAD_INPUT, RESOURCE, PIPE_CLOSED = 0, 3, 4, 141
TIMEOUT_SECONDS = 600  # for what hangs, not for what is slow
MOST_MEMORY = 300 << 20  # of a tool that meets a broken file of 4 kB
SANITIZER = (b"Sanitizer", b"runtime error:", b": bug: CHECK")
BIG_MODEL = "random:gpt2"  # 250 MB, made as it is read

# Every tool reading a model; {out} is where it would write.
READERS = {
    "generate": "hone-generate {model} --token-ids 1,2 -n 2",
    "prune": "hone-prune {model} --sparsity 0.5 -o {out}",
    "quantize": "hone-quantize {model} --scheme w8a8 -o {out}",
    "fuse-check": "hone-fuse-check {model} --no-time",
    "benchmark": "hone-benchmark {model} --no-speed",
}


class Tally:
    """Counts, and prints failures as they come; from many threads."""

    def __init__(self):
        self.passed = self.failed = 0
        self.lock = threading.Lock()

    def note(self, name, faults):
        with self.lock:
            self.passed += not faults
            self.failed += bool(faults)
            if faults:
                print(f"FAILED {name}: " + "; ".join(faults), flush=True)

    def skip(self, name, reason):
        print(f"skipped: {name}: {reason}", flush=True)


class Bench:
    """Programs, a scratch folder, and the tally."""

    def __init__(self, bin_dir, scratch, quick):
        self.bin_dir = bin_dir
        self.scratch = scratch
        self.quick = quick
        self.tally = Tally()
        self.sanitized = self.is_sanitized()
        self.stride = 29 if quick else 7 if self.sanitized else 1  # of header bytes

    def command(self, line, **values):
        words = [word.format(**values) for word in line.split()]
        return [str(self.bin_dir / words[0])] + words[1:]

    def is_sanitized(self):
        program = (self.bin_dir / "hone-prune").read_bytes()
        return b"__asan_init" in program or b"__ubsan" in program or b"__tsan_init" in program

    def run(self, command, cwd, **extra):
        env = dict(os.environ, TMPDIR=str(cwd), LC_ALL="C")
        try:
            return subprocess.run(command, cwd=cwd, env=env, capture_output=True,
                                  timeout=TIMEOUT_SECONDS, **extra)
        except subprocess.TimeoutExpired:
            return subprocess.CompletedProcess(command, None, b"", b"no end in sight\n")


def faults_of(result, allowed):
    """What is wrong with how a program ended."""
    code, stderr = result.returncode, result.stderr
    faults = []
    if code not in allowed:
        faults.append(f"exit {code}, expected {' or '.join(map(str, allowed))}")
    lines = [line for line in stderr.splitlines() if b": warning: " not in line]
    wanted = {PIPE_CLOSED: (0,), OK: (0, 1)}.get(code, (1,))
    if len(lines) not in wanted:
        faults.append(f"{len(lines)} lines on stderr")
    if any(word in stderr for word in SANITIZER):
        faults.append("a bug or a sanitizer")
    if faults:
        faults.append(stderr[-1500:].decode(errors="replace").strip())
    return faults


def left_behind(folder, before):
    extra = sorted(set(os.listdir(folder)) - set(before))
    return [f"left behind: {', '.join(extra)}"] if extra else []


# ---- broken bytes

class Container:
    """Intact bytes of the tiny model in one container, and how a tool is given broken ones."""

    def __init__(self, name, intact, header_bytes):
        self.name = name
        self.intact = intact
        self.header_bytes = header_bytes

    def place(self, folder, content):
        """(model argument, standard input) of a tool; files go into `folder`."""
        if self.name == "stream":
            return "-", content
        if self.name == "gguf":
            (folder / "model.gguf").write_bytes(content)
            return "model.gguf", b""
        (folder / "model").mkdir(exist_ok=True)
        shutil.copy(folder.parent / "intact" / "config.json", folder / "model")
        (folder / "model" / "model.safetensors").write_bytes(content)
        return "model", b""


def containers(bench):
    intact = bench.scratch / "intact"
    tiny.write(intact)
    for out in ("stream.safetensors", "model.gguf"):
        line = "hone-prune {model} --sparsity 0 -o {out}"
        bench.run(bench.command(line, model=intact, out=out), bench.scratch, check=True)
    data = tiny.weights()
    stream = (bench.scratch / "stream.safetensors").read_bytes()
    gguf = (bench.scratch / "model.gguf").read_bytes()
    weight_bytes = len(data) - 8 - struct.unpack("<Q", data[:8])[0]
    return [Container("safetensors", data, len(data) - weight_bytes),
            Container("stream", stream, 8 + struct.unpack("<Q", stream[:8])[0]),
            Container("gguf", gguf, len(gguf) - weight_bytes)]


def break_and_run(bench, container, tool, content, allowed, name):
    folder = Path(tempfile.mkdtemp(dir=bench.scratch))
    model, given = container.place(folder, content)
    before = os.listdir(folder)
    command = bench.command(READERS[tool], model=model, out="out")
    result = bench.run(command, folder, input=given)
    if result.returncode == OK:
        before.append("out")
    bench.tally.note(name, faults_of(result, allowed) + left_behind(folder, before))
    shutil.rmtree(folder)


def tools_for(position, index):
    """All tools at every 41st position, else one after the other."""
    names = list(READERS)
    return names if position % 41 == 0 else [names[index % len(names)]]


def header_offsets(bench, container):
    return range(0, container.header_bytes, bench.stride)


def cuts(bench, container):
    data = range(container.header_bytes, len(container.intact), 97 * min(bench.stride, 10))
    return [*header_offsets(bench, container), *data, len(container.intact) - 1]


def truncations(bench, container):
    for index, cut in enumerate(cuts(bench, container)):
        for tool in tools_for(cut, index):
            name = f"{tool} of {container.name} cut at {cut}"
            yield container, tool, container.intact[:cut], (BAD_INPUT,), name


def flips(bench, container):
    """Not every change can be seen: a number may become another number."""
    for index, at in enumerate(header_offsets(bench, container)):
        content = bytearray(container.intact)
        content[at] ^= 1 << at % 8
        for tool in tools_for(at, index):
            name = f"{tool} of {container.name} with bit {at % 8} of byte {at} turned over"
            yield container, tool, bytes(content), (OK, BAD_INPUT), name


def broken_bytes(bench):
    with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        for container in containers(bench):
            for tool in READERS:
                pool.submit(break_and_run, bench, container, tool, container.intact, (OK,),
                            f"{tool} of intact {container.name}")
            for kind in (truncations, flips):
                for job in kind(bench, container):
                    pool.submit(guarded, bench, *job)
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024
    if not bench.sanitized:
        faults = [f"one took {peak >> 20} MiB"] if peak > MOST_MEMORY else []
        bench.tally.note("memory for broken files", faults)


def guarded(bench, *job):
    try:
        break_and_run(bench, *job)
    except Exception as error:  # a pool would swallow it
        bench.tally.note(job[-1], [repr(error)])


# ---- killed programs

CONSUMERS = [
    "hone-quantize --scheme w8a8 -o out", "hone-quantize --scheme w8a8 -o out.safetensors",
    "hone-quantize --scheme q8_0 -o out.gguf", "hone-quantize --scheme w8a8",
    "hone-prune --sparsity 0.6 -o out", "hone-prune --sparsity 0.6 --scope global -o out",
    "hone-generate --token-ids 1,2 -n 2", "hone-benchmark --no-speed", "hone-fuse-check --no-run",
]


def killed_producer(bench, folder, line, megabytes):
    """hone-prune dies by SIGKILL after so many megabytes went into the consumer."""
    producer = subprocess.Popen(bench.command("hone-prune {m} --sparsity 0.5", m=BIG_MODEL),
                                stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    part = producer.stdout.read(megabytes << 20)
    producer.send_signal(signal.SIGKILL)
    producer.stdout.close()
    producer.wait()
    result = bench.run(bench.command(line), folder, input=part)
    result.stdout = b""
    bench.tally.note(f"{line}: producer killed after {megabytes} MB",
                     faults_of(result, (BAD_INPUT,)) + left_behind(folder, []))


def killed_writer(bench, folder, out, how):
    """A program killed while it writes: no file under the output's name, whole or not."""
    writer = subprocess.Popen(bench.command("hone-prune {m} --sparsity 0.5 -o {o}", m=BIG_MODEL,
                                            o=out), cwd=folder, stderr=subprocess.DEVNULL)
    time.sleep(0.3)
    writer.send_signal(how)
    code = writer.wait()
    name = f"writer of {out} killed by {how.name}"
    if code == OK:
        bench.tally.skip(name, "it was done before")
    else:
        faults = [] if code == -how else [f"exit {code}"]
        bench.tally.note(name, faults + (["output exists"] if (folder / out).exists() else []))
    clear(folder)


def gone_consumer(bench, line, taken):
    """The reader closes after `taken` bytes: 141, without a word."""
    process = subprocess.Popen(bench.command(line, m=BIG_MODEL), stdin=subprocess.DEVNULL,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    if taken:
        process.stdout.read(taken)
    process.stdout.close()
    stderr = process.stderr.read()
    process.stderr.close()
    result = subprocess.CompletedProcess(line, process.wait(), b"", stderr)
    bench.tally.note(f"{line}: reader gone after {taken} bytes",
                     faults_of(result, (PIPE_CLOSED,)))


def clear(folder):
    for path in folder.iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()


def killed_programs(bench):
    folder = bench.scratch / "killed"
    folder.mkdir()
    for index, line in enumerate(CONSUMERS[:4] if bench.quick else CONSUMERS):
        killed_producer(bench, folder, line, 1 + 8 * (index % 3))
        clear(folder)
    for out in ("out", "out.safetensors", "out.gguf"):
        killed_writer(bench, folder, out, signal.SIGKILL)
        killed_writer(bench, folder, out, signal.SIGTERM)
    for line in ("hone-prune {m} --sparsity 0.5", "hone-quantize {m} --scheme q8_0"):
        for taken in (0, 1, 100_000, 3_000_000):
            gone_consumer(bench, line, taken)
    gone_consumer(bench, "hone-fuse-check {m} --no-run --json", 1)


# ---- full disks

class SmallDisk:
    """A tmpfs with so much room; None where mounting is not allowed."""

    def __init__(self, path, room):
        self.path = path
        self.room = room

    def __enter__(self):
        self.path.mkdir()
        mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={self.room}", "tmpfs",
                                  str(self.path)], capture_output=True).returncode == 0
        return self.path if mounted else None

    def __exit__(self, *_):
        subprocess.run(["umount", str(self.path)], capture_output=True)


def full_disk(bench, line, disk, **extra):
    result = bench.run(bench.command(line, disk=disk, m=BIG_MODEL, tiny=bench.scratch / "intact"),
                       bench.scratch, **extra)
    result.stdout = b""
    bench.tally.note(f"{line}: full", faults_of(result, (RESOURCE,)) + left_behind(disk, []))


def full_disks(bench):
    for line in ("hone-prune {m} --sparsity 0.5 -o /dev/full",
                 "hone-quantize {tiny} --scheme w8a8 -o /dev/full",
                 "hone-generate {tiny} --token-ids 1 -n 8 --json"):
        with open("/dev/full", "wb") as full:
            command = bench.command(line, m=BIG_MODEL, tiny=bench.scratch / "intact")
            process = subprocess.run(command, stdout=full, stderr=subprocess.PIPE,
                                     stdin=subprocess.DEVNULL, timeout=TIMEOUT_SECONDS)
            bench.tally.note(f"{line}: /dev/full", faults_of(process, (RESOURCE,)))
    for room in ("1M", "4k"):
        with SmallDisk(bench.scratch / f"disk-{room}", room) as disk:
            if disk is None:
                bench.tally.skip("full disk", "a tmpfs cannot be mounted here")
                continue
            model = "{m}" if room == "1M" else "{tiny}"
            for out in ("out", "out --shard-size 100k", "out.safetensors", "out.gguf"):
                full_disk(bench, "hone-prune %s --sparsity 0.5 -o {disk}/%s" % (model, out), disk)
                scheme = "q8_0" if "gguf" in out else "w8a8"
                full_disk(bench, "hone-quantize %s --scheme %s -o {disk}/%s"
                          % (BIG_MODEL, scheme, out), disk)


def main():
    arguments = [a for a in sys.argv[1:] if a != "--quick"]
    if len(arguments) != 1:
        sys.exit(__doc__)
    with tempfile.TemporaryDirectory(prefix="hone-faults-") as scratch:
        bench = Bench(Path(arguments[0]).resolve(), Path(scratch), "--quick" in sys.argv)
        for part in (broken_bytes, killed_programs, full_disks):
            begin = time.monotonic()
            part(bench)
            print(f"{part.__name__}: {time.monotonic() - begin:.0f} s", flush=True)
    print(f"{bench.tally.passed} passed, {bench.tally.failed} failed")
    sys.exit(1 if bench.tally.failed or not bench.tally.passed else 0)


if __name__ == "__main__":
    main()
