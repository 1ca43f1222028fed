"""hone and its peers as programs that can be measured: how each is started, and what it then says."""
import argparse
import json
import os
import re
import shlex
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

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


def list_of(known):
    """Of names with commas between them, each one of `known`."""
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


def program(directory, name):
    path = directory / name
    if path.is_file() and os.access(path, os.X_OK):
        return str(path)
    say(f"{path}: no such program; is the directory right, and built?")
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


def quantizers_of(directories):
    """llama-quantize of each peer."""
    return {peer_name(d): program(d.resolve(), "llama-quantize") for d in directories}


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


class Models:
    """The model files in a folder, each made where it is not there yet."""

    def __init__(self, directory, source, quantize, peers, runner):
        """`source`: what hone-quantize reads; `peers`: llama-quantize of each, by name."""
        self.directory, self.source, self.runner = directory, source, runner
        self.own, self.peers = quantize, peers

    def path(self, name):
        path, kind = self.directory / name, name.removesuffix(".gguf")
        if not path.exists():
            say(f"writing {name}")
            part = self.directory / ("part-" + name)
            self.runner.run(self.writing(kind, part), measured=False)
            part.rename(path)
        return path

    def writing(self, kind, out):
        if kind in MADE_BY_PEER:
            return [next(iter(self.peers.values())), self.path("f16.gguf"), out, kind.upper()]
        return [self.own, self.source, "--scheme", *OWN_SCHEMES.get(kind, [kind]), "-o", out]
