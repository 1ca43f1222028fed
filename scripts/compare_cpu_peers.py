"""hone and its peers on one model, in turns, as the Markdown tables of docs/measurements.md.

Every peer is a directory with llama-bench and llama-quantize. hone writes the model once; hone and
the peers read the same GGUF file, and hone's own schemes of 8 and 4 bits stand against the peers'
Q8_0 and Q4_0 (w4a16-head8 has a head of int8, as Q4_0 has one of Q8_0; that of w4a16 is BF16). Who
maps the file stands against hone on a mapped file, who copies or repacks the weights as it loads
against hone with --load copy or repack. In a round every program runs once, so that a drift of the
machine meets all alike: gains are taken within a round, and their median and range over the rounds
are printed. More than 1 is good for hone; the gain over the best peer is bold.

Exit codes: 0; 2 options; 3 a program is missing; 4 a program failed (its row says so); 130.
"""
import argparse
import json
import os
import re
import shlex
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from compare_cpu_peers_report import print_results

ROOT = Path(__file__).resolve().parent.parent
TESTS = ("decode", "prefill", "first-token", "quantize")
MODES = ("default", "copied", "repacked")
FIRST_TOKEN_PROMPT = 8  # tokens

# Type: the file that hone runs, the file that the peers run.
CONTESTS = {
    "f16": ("f16.gguf", "f16.gguf"),
    "bf16": ("bf16.gguf", "bf16.gguf"),
    "q8_0": ("q8_0.gguf", "q8_0.gguf"),
    "w8a16": ("w8a16", "q8_0.gguf"),
    "q4_0": ("q4_0.gguf", "q4_0.gguf"),
    "w4a16": ("w4a16", "q4_0.gguf"),
    "w4a16-head8": ("w4a16-head8", "q4_0.gguf"),
    "q4_k_m": ("q4_k_m.gguf", "q4_k_m.gguf"),
    "q6_k": ("q6_k.gguf", "q6_k.gguf"),
}
MADE_BY_PEER = ("q4_k_m", "q6_k")
OWN_SCHEMES = {"w4a16-head8": ["w4a16", "--set", "lm_head=w8a16"]}  # others: the type's name

# Large blocks of memory in huge pages, where the C library is asked for them.
HUGE_PAGES = {"GLIBC_TUNABLES": "glibc.malloc.hugetlb=1"}


class Failed(Exception):
    """A program ended with an error; the text is its last line."""


def say(text):
    print(text, file=sys.stderr, flush=True)


def program(directory, name):
    path = directory / name
    if path.is_file() and os.access(path, os.X_OK):
        return str(path)
    say(f"compare_cpu_peers: {path}: no such program; is the directory right, and built?")
    sys.exit(3)


class Runner:
    """Starts programs; the measured ones under --wrap."""

    def __init__(self, wrap):
        self.wrap = shlex.split(wrap)

    def run(self, command, env=None, measured=True):
        command = (self.wrap if measured else []) + [str(word) for word in command]
        result = subprocess.run(command, env={**os.environ, **(env or {})}, capture_output=True,
                                text=True, errors="replace", stdin=subprocess.DEVNULL)
        if result.returncode == 0:
            return result
        lines = (result.stderr or result.stdout).strip().splitlines() or ["no message"]
        raise Failed(f"exit {result.returncode}: {lines[-1][:200]}")

    def seconds(self, command, env=None):
        """Wall time from exec to exit, without the time that --wrap waits."""
        os.sync()
        timer = ["bash", "-c", "TIMEFORMAT='real %R'; time \"$@\"", "timer"]
        result = self.run(timer + command, {**(env or {}), "LC_ALL": "C"})
        return max(0.001, float(re.findall(r"^real ([0-9.]+)$", result.stderr, re.M)[-1]))


@dataclass
class Machine:
    """What the runs of hone tell of it, besides their results."""
    facts: dict = field(default_factory=dict)
    bandwidths: list = field(default_factory=list)
    flops: list = field(default_factory=list)
    operations: float = 0.0  # of a token of the prompt: the same in every type


class Hone:
    """hone in one of the ways in which it can hold the weights."""

    def __init__(self, options, runner, machine, name, more):
        self.options, self.runner, self.machine, self.name = options, runner, machine, name
        self.more = more + shlex.split(options.hone_options)
        self.benchmark, self.generate, self.quantize = (
            program(options.bin.resolve(), "hone-" + tool)
            for tool in ("benchmark", "generate", "quantize"))

    def measure(self, model, **test):
        """A row of hone-benchmark's report; every run measures the machine's peaks, too."""
        words = [word for key, value in test.items() for word in ("--" + key, value)]
        report = json.loads(self.runner.run(
            [self.benchmark, model, "--json", "--threads", self.options.threads, *words,
             *self.more]).stdout)
        self.machine.facts = report["machine"]
        self.machine.bandwidths.append(report["peaks"][0]["read_gigabytes_per_second"] * 1e9)
        self.machine.flops.append(report["peaks"][0]["gflops"] * 1e9)
        return report["results"][0]

    def prefill(self, model):
        row = self.measure(model, prefill=self.options.prompt, decode="none", depth=0,
                           repetitions=self.options.repetitions)
        self.machine.operations = row["gflops"] * 1e9 / row["tokens_per_second"]
        return median(self.options.prompt / seconds for seconds in row["samples_seconds"])

    def decode(self, model):
        row = self.measure(model, prefill="none", decode=self.options.decode,
                           depth=self.options.depth, repetitions=self.options.repetitions)
        return median(self.options.decode / seconds for seconds in row["samples_seconds"])

    def first_token(self, model):
        ids = ",".join(str(i) for i in range(1, FIRST_TOKEN_PROMPT + 1))
        return self.runner.seconds(
            [self.generate, model, "--token-ids", ids, "-n", 1, "--ignore-eos", "--threads",
             self.options.threads, *self.more])

    def bytes_per_token(self, model):
        """Weight bytes that a decoded token reads; 0 where hone cannot run the file."""
        try:
            row = self.measure(model, prefill="none", decode=1, depth=0, repetitions=1)
            return row["gigabytes_per_second"] * 1e9 / row["tokens_per_second"]
        except Failed:
            return 0.0


def hone_in_modes(options, runner, machine):
    """By the modes of the peers that it stands against."""
    ways = {"default": Hone(options, runner, machine, "hone", []),
            "copied": Hone(options, runner, machine, "hone, copied", ["--load", "copy"]),
            "repacked": Hone(options, runner, machine, "hone, repacked", ["--load", "repack"])}
    return {mode: ways[mode] for mode in options.modes}


@dataclass(eq=False)
class Peer:
    """A peer in one of the ways in which it can hold the weights."""
    name: str
    mode: str
    bench: str
    help: str
    more: list
    env: dict
    options: argparse.Namespace
    runner: Runner

    def measure(self, model, *test):
        command = [self.bench, "-m", model, "-t", self.options.threads, "-o", "json", "-r",
                   self.options.repetitions, *test, *self.more]
        output = self.runner.run(command, self.env).stdout
        return median(json.loads(output[output.index("[\n"):])[0]["samples_ts"])

    def prefill(self, model):
        return self.measure(model, "-p", self.options.prompt, "-n", 0)

    def decode(self, model):
        depth, count = self.options.depth, self.options.decode
        if "--n-depth" in self.help:
            return self.measure(model, "-p", 0, "-n", count, "-d", depth)
        return self.measure(model, "-p", 0, "-n", 0, "-gp", f"{depth},{count}")  # ik_llama.cpp

    def first_token(self, model):
        cold = ["--no-warmup"] if "--no-warmup" in self.help else ["-w", 0]
        return self.runner.seconds(
            [self.bench, "-m", model, "-t", self.options.threads, "-p", FIRST_TOKEN_PROMPT, "-n", 0,
             "-r", 1, *cold, *self.more], self.env)


def peer_name(directory):
    """The nearest part of the path that says who it is."""
    parts = [p for p in directory.resolve().parts if p not in ("/", "bin", "build", "Release")]
    return parts[-1] if parts else str(directory)


def peers_in(directory, options, runner):
    bench = program(directory.resolve(), "llama-bench")
    text = subprocess.run([bench, "--help"], capture_output=True, text=True, check=False)
    text = text.stdout + text.stderr
    huge = ["-thp", "1"] if "-thp" in text else []
    copied = ["-lm", "none"] if "--load-mode" in text else ["-mmp", "0"]
    modes = {"default": ([], {}), "copied": (copied + huge, HUGE_PAGES)}
    if "--run-time-repack" in text:
        modes["repacked"] = (["-rtr", "1"] + huge, HUGE_PAGES)
    return [Peer(f"{peer_name(directory)}, {mode}", mode, bench, text, more, env, options, runner)
            for mode, (more, env) in modes.items() if mode in options.modes]


@dataclass
class Row:
    """One program in one contest: a sample for each round, and what a token costs it."""
    type: str
    name: str
    samples: list = field(default_factory=list)
    cost: float = 0.0
    failure: str = ""

    def attempt(self, body):
        if self.failure:
            return
        try:
            self.samples.append(body())
            say(f"  {self.type:8} {self.name:28} {self.samples[-1]:10.3f}")
        except Failed as failure:
            self.failure = str(failure)
            say(f"  {self.type:8} {self.name:28} failed, {failure}")


class Comparison:
    """Every test gives groups of pairs: a row, and for a peer's that of hone which it is against."""

    def __init__(self, options, directory):
        self.options, self.directory = options, directory
        self.runner = Runner(options.wrap)
        self.measured = {}
        self.machine = Machine()
        self.hone = hone_in_modes(options, self.runner, self.machine)
        self.any_hone = self.hone[options.modes[0]]
        self.peers = [peer for peer_directory in options.peers
                      for peer in peers_in(peer_directory, options, self.runner)]
        self.quantizers = {peer_name(p): program(p.resolve(), "llama-quantize")
                           for p in options.peers}

    def model(self, name):
        """The path of a model file, made where it is not there yet."""
        path, kind = self.directory / name, name.removesuffix(".gguf")
        if path.exists():
            return path
        say(f"writing {name}")
        part = self.directory / ("part-" + name)
        scheme = OWN_SCHEMES.get(kind, [kind])
        command = [self.any_hone.quantize, self.options.model, "--scheme", *scheme, "-o", part]
        if kind in MADE_BY_PEER:
            quantizer = next(iter(self.quantizers.values()))
            command = [quantizer, self.model("f16.gguf"), part, kind.upper(), self.options.threads]
        self.runner.run(command, measured=False)
        part.rename(path)
        return path

    def rounds(self, test, entries):
        for turn in range(1, self.options.rounds + 1):
            say(f"{test}, round {turn} of {self.options.rounds}")
            self.measured = {}
            for row, body in entries:
                row.attempt(body)

    def once_a_round(self, measure, model):
        """w8a16 stands against the same run of a peer's Q8_0 as q8_0 does."""
        if (measure, model) not in self.measured:
            self.measured[measure, model] = measure(str(model))
        return self.measured[measure, model]

    def contest(self, test):
        groups, entries, models = [], [], []
        for kind in self.options.types:
            own, theirs = (self.model(name) for name in CONTESTS[kind])
            groups.append([])
            rows = {}
            for contestant in [*dict.fromkeys(self.hone.values()), *self.peers]:
                model = theirs if isinstance(contestant, Peer) else own
                measure = getattr(contestant, test.replace("-", "_"))
                rows[contestant] = row = Row(kind, contestant.name)
                rival = rows[self.hone[contestant.mode]] if isinstance(contestant, Peer) else None
                groups[-1].append((row, rival))
                models.append(model)
                entries.append((row, lambda pair=(measure, model): self.once_a_round(*pair)))
        self.rounds(test, entries)
        costs = {}
        if test == "decode":
            costs = {model: self.any_hone.bytes_per_token(model) for model in dict.fromkeys(models)}
        for (row, _), model in zip(entries, models):
            row.cost = costs.get(model, self.machine.operations)
        return groups

    def quantize(self):
        """Plain weights to the 4-bit forms: each of hone's against Q4_0 by every peer."""
        source, threads = self.model(self.options.source + ".gguf"), self.options.threads
        peers = [(Row("Q4_0", name), [quantizer, source], "out.gguf", ["Q4_0", threads])
                 for name, quantizer in self.quantizers.items()]
        own = [(Row(kind, "hone"), [self.any_hone.quantize, source, "--scheme", kind, "-o"], out,
                ["--threads", threads]) for kind, out in (("q4_0", "out.gguf"), ("w4a16", "out"))]
        entries = [(row, lambda rest=rest: self.seconds_to_write(*rest))
                   for row, *rest in own + peers]
        self.rounds("quantize", entries)
        for row, _ in entries:
            row.cost = source.stat().st_size
        return [[(row, None)] + [(peer[0], row) for peer in peers] for row, *_ in own]

    def seconds_to_write(self, start, out, end):
        with tempfile.TemporaryDirectory(dir=self.directory) as scratch:
            return self.runner.seconds([*start, Path(scratch) / out, *end])


def list_of(known):
    def parse(text):
        values = text.split(",")
        for value in values:
            if value not in known:
                raise argparse.ArgumentTypeError(f"{value!r} is none of {', '.join(known)}")
        return list(dict.fromkeys(values))
    return parse


def positive(text):
    if not re.fullmatch("[0-9]{1,6}", text) or int(text) == 0:
        raise argparse.ArgumentTypeError(f"{text!r} is no number from 1 to 999999")
    return int(text)


def parse_options():
    parser = argparse.ArgumentParser(
        prog="compare_cpu_peers.sh", description=__doc__, allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("peers", metavar="PEER_BIN_DIR", nargs="+", type=Path, help="programs of a peer")
    add("--bin", metavar="DIR", type=Path, default=ROOT / "build/release/bin",
        help="hone's programs (build/release/bin)")
    add("--model", default="random:tinyllama-1.1b", help="what hone-quantize reads (%(default)s)")
    for name, known, text in (("types", CONTESTS, ""), ("tests", TESTS, ""),
                              ("modes", MODES, "how the peers hold weights: as they come, copied "
                                               "to huge pages, repacked as they load; ")):
        add("--" + name, type=list_of(known), default=list(known), metavar="LIST",
            help=f"{text}of {','.join(known)} (all)")
    for name, default, text in (("rounds", 3, ""), ("repetitions", 2, "in one process "),
                                ("prompt", 512, "tokens "), ("decode", 32, "tokens "),
                                ("depth", 128, "tokens before the decoded ones "),
                                ("threads", 2, "")):
        add("--" + name, type=positive, default=default, metavar="N",
            help=text + "(%(default)s)")
    add("--source", choices=("f16", "bf16"), default="f16",
        help="type of the file that the quantize test reads (%(default)s)")
    add("--hone-options", default="", metavar="TEXT",
        help="more options for hone-benchmark and hone-generate")
    add("--wrap", default="", metavar="COMMAND",
        help="runs every measured process: taskset -c 0,1, or a lock that keeps others away")
    add("--keep", type=Path, metavar="DIR", help="where the model files stay, and are found again")
    return parser.parse_intermixed_args()


def main():
    options = parse_options()
    if options.keep:
        options.keep.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="hone-peers-") as temporary:
        comparison = Comparison(options, options.keep or Path(temporary))
        try:
            results = {test: comparison.quantize() if test == "quantize"
                       else comparison.contest(test) for test in options.tests}
        except Failed as failure:  # a model could not be written
            say(f"compare_cpu_peers: {failure}")
            return 4
    print_results(options, comparison.machine, results, FIRST_TOKEN_PROMPT)
    rows = [row for groups in results.values() for group in groups for row, _ in group]
    return 4 if any(row.failure for row in rows) else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
