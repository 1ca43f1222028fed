"""The goals of the CPU backend, each measured, as the table of docs/measurements.md.

PEER_BIN_DIR: llama-bench and llama-quantize of a peer, which repacks weights as it loads where it
can; --load says how hone holds them in the same goals. Every goal is a ratio: to what memory gives,
to a peak, to a peer, to a model's dense twin. All programs of a ratio run in turns in rounds, and
memory is read before and after each of them: where others move it by more than --tolerance, the
round is not counted. A goal prints the median of its rounds, the least and the most of them, and
how many were kept; "-" where none was within --tries. Perplexities need HONE_SHARED, the folder of
the trained models and texts.

Exit codes: 0, whatever was reached; 2 options; 3 a program is missing; 130.
"""
import argparse
import json
import os
import shlex
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Callable

from cpu_contestants import (CONTESTS, FIRST_TOKEN_PROMPT, Failed, Hone, Machine, Models, Runner,
                             peers_in, positive, quantizers_of, say)

ROOT = Path(__file__).resolve().parent.parent
SHARED = Path(os.environ.get("HONE_SHARED", ""))
STORIES = ("models/stories260K-hf-llama", "text/tinystories_train_sample_2M.txt")
DEEP = 8192  # positions of the attention goal


@dataclass
class Goal:
    """`values` measures: one number a round. `least`: whether less is better."""
    name: str
    must: float
    stretch: float
    unit: str
    values: Callable
    least: bool = False

    def holds(self, value):
        return value <= self.must if self.least else value >= self.must


class Lab:
    """Measures in rounds, under memory that stands still."""

    def __init__(self, options, directory):
        self.options, self.directory = options, directory
        self.runner, self.machine = Runner(options.wrap), Machine()
        self.plain = self.hone()
        self.peers = [peers_in(d, options, self.runner)[-1] for d in options.peers]  # repacked
        self.quantizers = quantizers_of(options.peers)
        self.models = self.shape(options.model, directory)
        self.small = self.shape(options.small_model, directory / "small")

    def shape(self, source, directory):
        directory.mkdir(exist_ok=True)
        return Models(directory, source, self.plain.quantize, self.quantizers, self.runner)

    def hone(self, *more, threads=None):
        options = argparse.Namespace(**{**vars(self.options),
                                        "threads": threads or self.options.threads})
        return Hone(options, self.runner, self.machine, "hone", list(more))

    def memory(self, threads=None):
        """GB/s that are read now."""
        report = json.loads(self.runner.run(
            [self.plain.benchmark, "--machine", "--json", "--threads",
             threads or self.options.threads]).stdout)
        self.machine.facts = report["machine"]
        return report["peaks"][0]["read_gigabytes_per_second"]

    def vnni(self):
        """GOP/s at the peak of VNNI."""
        report = json.loads(self.runner.run(
            [self.plain.benchmark, "--machine", "--json", "--threads", self.options.threads],
            env={"HONE_CPU": "avx3_vnni"}).stdout)
        return report["peaks"][0]["int8_gops"]

    def rounds(self, *bodies):
        """The values of each kept round."""
        kept = []
        for _ in range(self.options.tries):
            reads, values = [self.memory()], []
            for body in bodies:
                values.append(body())
                reads.append(self.memory())
            steady = max(reads) <= min(reads) * (1 + self.options.tolerance / 100)
            say(f"  {' '.join(f'{value:.4g}' for value in values)}; memory "
                f"{min(reads):.0f} to {max(reads):.0f} GB/s{'' if steady else ', not counted'}")
            if steady:
                kept.append(values)
                self.machine.bandwidths += [read * 1e9 for read in reads]
            if len(kept) == self.options.rounds:
                break
        return kept

    def ratio(self, above, *below):
        """Of the first body to the best of the others."""
        return [values[0] / max(values[1:]) for values in self.rounds(above, *below)]

    def alone(self, body):
        return [values[0] for values in self.rounds(body)]


def decode_of_memory(kind, *more):
    def values(lab):
        hone, path = lab.hone(*more), lab.models.path(CONTESTS[kind][0])
        return lab.alone(lambda: 100 * hone.measure(
            path, prefill="none", decode=lab.options.decode, depth=lab.options.depth,
            repetitions=2)["share_of_bandwidth"])
    return values


def over_peers(test, kind, *more, models="models", theirs=None, who=lambda peer: True):
    """`theirs`: the peers' file where it is another than that of the contest."""
    def values(lab):
        files, hone = getattr(lab, models), lab.hone(*more)
        own, other = (files.path(name) for name in CONTESTS[kind])
        other = files.path(theirs) if theirs else other
        peers = [getattr(peer, test) for peer in lab.peers if who(peer)]
        if not peers:
            raise Failed("none of the given peers")
        return lab.ratio(lambda: getattr(hone, test)(own),
                         *(lambda body=body: body(str(other)) for body in peers))
    return values


def over_dense(sparse, dense, scheme, *more):
    """`sparse`: the pruned file's name and how it is pruned."""
    def values(lab):
        name, pruning = sparse
        path, twin, hone = lab.directory / name, lab.models.path(dense), lab.hone(*more)
        if not path.exists():
            write_pruned(lab, pruning, scheme, path)
        return lab.ratio(lambda: hone.decode(path), lambda: hone.decode(twin))
    return values


def write_pruned(lab, pruning, scheme, path):
    say(f"writing {path.name}")
    prune = Path(lab.plain.quantize).with_name("hone-prune")
    words = (shlex.join(map(str, part)) for part in (
        [prune, lab.models.path("bf16.gguf"), *pruning],
        [lab.plain.quantize, "-", "--scheme", scheme, "-o", path]))
    lab.runner.run(["bash", "-c", "set -o pipefail; " + " | ".join(words)], measured=False)


def prefill_row(lab, kind):
    return lab.hone().measure(lab.models.path(CONTESTS[kind][0]), prefill=lab.options.prompt,
                              decode="none", depth=0, repetitions=2)


def prefill_of_peak(kind):
    return lambda lab: lab.alone(lambda: 100 * prefill_row(lab, kind)["share_of_peak"])


def prefill_of_vnni(kind):
    """Whatever multiplies: tile registers, where there are some, may exceed that peak."""
    return lambda lab: [100 * prefill / peak for prefill, peak in lab.rounds(
        lambda: prefill_row(lab, kind)["gflops"], lab.vnni)]


def eight_sequences(lab):
    hone, path = lab.hone("--load", lab.options.load), lab.models.path("w4a16-head8")
    return lab.ratio(*(lambda batch=batch: hone.measure(
        path, prefill="none", decode=lab.options.decode, depth=lab.options.depth, batch=batch,
        repetitions=1)["tokens_per_second"] for batch in (8, 1)))


def attention_of_memory(kind):
    def one(lab):
        report = lab.runner.run(
            [lab.options.bin / "attention_bench", "--benchmark_format=json", "--benchmark_filter="
             f"decode/tinyllama/{kind}/depth:{DEEP}/threads:{lab.options.threads}/"]).stdout
        return json.loads(report)["benchmarks"][0]["GB/s"]

    def values(lab):
        return [100 * attention / read for attention, read in lab.rounds(
            lambda: one(lab), lab.memory)]
    return values


def first_token(path, *words):
    def values(lab):
        model = path(lab)
        return lab.alone(lambda: 1e3 * lab.runner.seconds(
            [lab.plain.generate, model, *words, "-n", 1, "--threads", lab.options.threads]))
    return values


def two_threads(measure):
    """Of the rate on two threads to that on one."""
    return lambda lab: lab.ratio(*(lambda t=t: measure(lab, t) for t in (2, 1)))


def rate_on(**test):
    def measure(lab, threads):
        hone = lab.hone(threads=threads)
        return hone.measure(lab.models.path("w4a16"), repetitions=1, **test)["tokens_per_second"]
    return measure


def over_quantizers(kind, out):
    def write(lab, start, name, end):
        with tempfile.TemporaryDirectory(dir=lab.options.scratch) as scratch:
            return 1 / lab.runner.seconds([*start, Path(scratch) / name, *end])

    def values(lab):
        source, threads = lab.models.path("bf16.gguf"), lab.options.threads
        own = [lab.plain.quantize, source, "--scheme", kind, "--threads", threads, "-o"]
        return lab.ratio(lambda: write(lab, own, out, []), *(
            lambda theirs=theirs: write(lab, [theirs, source], "out.gguf", ["Q4_0", threads])
            for theirs in lab.quantizers.values()))
    return values


def perplexity_lost(scheme):
    """By activations in int8, in %."""
    def values(lab):
        model, text = (SHARED / name for name in STORIES)
        reports = [json.loads(lab.runner.run(
            [lab.plain.benchmark, model, "--scheme", scheme, "--no-speed", "--text", text, "--split",
             "<|endoftext|>", "--context", 512, "--max-windows", 60, "--compute", compute,
             "--json"]).stdout) for compute in ("int8", "f32")]
        rounded, exact = (report["quality"][0]["perplexity"] for report in reports)
        return [100 * (rounded / exact - 1)]
    return values


def goals(load):
    held, bf16 = ("--load", load), ("--compute", "bf16")
    ids = ("--token-ids", ",".join(map(str, range(1, FIRST_TOKEN_PROMPT + 1))), "--ignore-eos")
    llama = {"models": "small", "who": lambda peer: "ik" not in peer.name}
    for kind in ("bf16", "f16"):
        yield Goal(f"decode {kind}, huge pages", 92, 97, "% of B", decode_of_memory(kind, *held))
    yield Goal("decode bf16 over the best BF16", 1.15, 1.15, "x",
               over_peers("decode", "bf16", *held))
    yield Goal("decode f16 over the best F16", 1, 1, "x", over_peers("decode", "f16", *held))
    yield Goal("decode bf16, mapped", 84, 92, "% of B", decode_of_memory("bf16"))
    for kind, must, stretch, gain, far in (
            ("w8a16", 90, 95, 1.25, 1.25), ("q8_0", 85, 95, 1.25, 1.25),
            ("w4a16", 85, 93, 1.45, 1.45), ("w4a16-head8", 85, 93, 1.45, 1.45),
            ("q4_0", 65, 85, 1.15, 1.15), ("q4_k_m", 65, 85, 1.15, 1.15),
            ("q6_k", 65, 85, 1.15, 1.15)):
        theirs = CONTESTS[kind][1].removesuffix(".gguf").upper()
        yield Goal(f"decode {kind}", must, stretch, "% of B", decode_of_memory(kind, *held))
        yield Goal(f"decode {kind} over the best {theirs}", gain, far, "x",
                   over_peers("decode", kind, *held))
    for pruned, dense, scheme, must, stretch in (
            (("w4a16-24.safetensors", ["--pattern", "2:4"]), "w4a16", "w4a16", 1.2, 1.28),
            (("bf16-24.safetensors", ["--pattern", "2:4"]), "bf16.gguf", "bf16", 1.55, 1.7),
            (("w8a16-50.safetensors", ["--sparsity", 0.5]), "w8a16", "w8a16", 1.35, 1.5)):
        yield Goal(f"decode {pruned[0].split('.')[0]} over own dense", must, stretch, "x",
                   over_dense(pruned, dense, scheme))
    yield Goal("prefill bf16 in f32", 78, 90, "% of FMA", prefill_of_peak("bf16"))
    yield Goal("prefill bf16 in f32 over the best F16", 1.15, 1.15, "x",
               over_peers("prefill", "bf16", theirs="f16.gguf"))
    yield Goal("prefill bf16 in bf16 over the best F16", 1.15, 1.15, "x",
               over_peers("prefill", "bf16", *bf16, theirs="f16.gguf"))
    for kind in ("w8a16", "w4a16", "q8_0", "q4_0"):
        theirs = CONTESTS[kind][1].removesuffix(".gguf").upper()
        yield Goal(f"prefill {kind}", 58, 80, "% of VNNI", prefill_of_vnni(kind))
        yield Goal(f"prefill {kind} over the best {theirs}", 2.2, 3, "x",
                   over_peers("prefill", kind))
    yield Goal("8 sequences of w4a16-head8 over one", 5, 6.5, "x", eight_sequences)
    for kind in ("f32", "f16", "int8"):
        yield Goal(f"attention of one token after {DEEP}, {kind}", 80, 90, "% of B",
                   attention_of_memory(kind))
    for kind in ("f16", "q8_0", "q4_0"):
        yield Goal(f"decode {kind}, shape of gpt2, over llama.cpp", 1.2, 1.5, "x",
                   over_peers("decode", kind, *held, **llama))
    yield Goal("exec to first token, storyteller", 25, 10, "ms", first_token(
        lambda lab: ROOT / "testdata/storyteller", "-p", "One day"), least=True)
    yield Goal("exec to first token, 1.1B w4a16", 150, 100, "ms", first_token(
        lambda lab: lab.models.path("w4a16"), *ids), least=True)
    for name, measure in (
            ("decode w4a16", rate_on(prefill="none", decode=16, depth=128)),
            ("prefill w4a16", rate_on(prefill=256, decode="none", depth=0)),
            ("(memory itself)", Lab.memory)):
        yield Goal(f"1 to 2 threads, {name}", 1.85, 1.95, "x", two_threads(measure))
    for kind, out in (("w4a16", "out"), ("q4_0", "out.gguf")):
        yield Goal(f"quantize bf16 to {kind} over Q4_0", 2, 4, "x", over_quantizers(kind, out))
    for scheme in ("w8a16", "w4a16", "q8_0", "q4_0"):
        yield Goal(f"perplexity of stories260K in {scheme}, by int8", 0.1, 0.03, "%",
                   perplexity_lost(scheme), least=True)


def cell(values, digits):
    if not values:
        return "-"
    text = f"{median(values):.{digits}f}"
    spread = f" ({min(values):.{digits}f}..{max(values):.{digits}f}; {len(values)})"
    return text + (spread if len(values) > 1 else "")


def line(goal, lab):
    digits = {"x": 2, "%": 3}.get(goal.unit, 0)
    try:
        values = goal.values(lab)
    except Failed as failure:
        return f"| {goal.name} | {goal.must:g} | {goal.stretch:g} | {goal.unit} | {failure} | |"
    verdict = "" if not values else "yes" if goal.holds(median(values)) else "no"
    return (f"| {goal.name} | {goal.must:g} | {goal.stretch:g} | {goal.unit} | "
            f"{cell(values, digits)} | {verdict} |")


def parse_options():
    parser = argparse.ArgumentParser(prog="measure_cpu_goals.py", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("peers", metavar="PEER_BIN_DIR", nargs="*", type=Path, help="programs of a peer")
    add("--bin", metavar="DIR", type=Path, default=ROOT / "build/release/bin",
        help="hone's programs (build/release/bin)")
    add("--model", default="random:tinyllama-1.1b", help="what hone-quantize reads (%(default)s)")
    add("--small-model", default="random:gpt2", help="likewise, of the goals of small models "
                                                     "(%(default)s)")
    add("--only", default="", metavar="TEXT", help="goals whose name has this in it")
    for name, default, text in (("rounds", 5, "that are kept "), ("tries", 12, "rounds at most "),
                                ("tolerance", 15, "%% by which memory may move in a round "),
                                ("threads", 2, ""), ("decode", 16, "tokens "),
                                ("depth", 128, "tokens before the decoded ones "),
                                ("prompt", 512, "tokens ")):
        add("--" + name, type=positive, default=default, metavar="N", help=text + "(%(default)s)")
    add("--load", choices=["map", "copy", "repack"], default="repack",
        help="how hone holds weights that peers repack (%(default)s)")
    add("--wrap", default="", metavar="COMMAND", help="runs every measured process")
    add("--keep", type=Path, metavar="DIR", help="where the model files stay, and are found again")
    add("--scratch", metavar="DIR", help="where the quantize goals write (/tmp)")
    parser.set_defaults(modes=["default", "repacked"], repetitions=1, hone_options="")
    return parser.parse_args()


def main():
    options = parse_options()
    with tempfile.TemporaryDirectory(prefix="hone-goals-") as temporary:
        directory = options.keep or Path(temporary)
        directory.mkdir(parents=True, exist_ok=True)
        lab = Lab(options, directory)
        print("| goal | must | stretch | unit | median (least..most; rounds) | holds |")
        print("|---|---:|---:|---|---:|---|")
        for goal in goals(options.load):
            if options.only in goal.name:
                say(goal.name)
                print(line(goal, lab), flush=True)
    reads = [read / 1e9 for read in lab.machine.bandwidths] or [0]
    print(f"\n{lab.machine.facts.get('cpu')}, {options.threads} threads; memory in the rounds that "
          f"were kept: {median(reads):.0f} GB/s ({min(reads):.0f}..{max(reads):.0f}).")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
