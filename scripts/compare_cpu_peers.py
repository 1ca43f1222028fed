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
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from compare_cpu_peers_report import print_results
from cpu_contestants import (CONTESTS, FIRST_TOKEN_PROMPT, Failed, Machine, Models, Peer, Runner,
                             hone_in_modes, list_of, peers_in, positive, quantizers_of, say)

ROOT = Path(__file__).resolve().parent.parent
TESTS = ("decode", "prefill", "first-token", "quantize")
MODES = ("default", "copied", "repacked")


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
        self.quantizers = quantizers_of(options.peers)
        self.models = Models(directory, options.model, self.any_hone.quantize, self.quantizers,
                             self.runner)

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
            own, theirs = (self.models.path(name) for name in CONTESTS[kind])
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
        source, threads = self.models.path(self.options.source + ".gguf"), self.options.threads
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
