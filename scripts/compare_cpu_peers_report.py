"""The Markdown tables of compare_cpu_peers.py."""
from statistics import median


def number(value):
    """Three digits or a little more."""
    return f"{value:.{0 if value >= 100 else 1 if value >= 10 else 2}f}"


def spread(values):
    return f"{number(median(values))} ({number(min(values))}..{number(max(values))})"


def gains(hone, other, more_is_better):
    """Within rounds, so that a slow minute counts for both."""
    return [a / b if more_is_better else b / a for a, b in zip(hone.samples, other.samples)]


def print_group(group, cells, columns, more_is_better):
    gain = {id(row): gains(rival, row, more_is_better) for row, rival in group if rival}
    least = min((median(values) for values in gain.values() if values), default=None)
    for row, _ in group:
        facts = cells(row) if not row.failure else [f"failed: {row.failure}"] + [""] * (columns - 1)
        values = gain.get(id(row))
        text = spread(values) if values else ""
        text = f"**{text}**" if values and median(values) == least else text
        print(f"| {row.type} | {row.name} | " + " | ".join(facts) + f" | {text} |")


def print_results(options, machine, results, prompt):
    """`results`: groups of each test, see Comparison; `prompt`: of the first token."""
    bandwidth, flops = (median(values or [1.0]) for values in (machine.bandwidths, machine.flops))

    def rate(row):
        return median(row.samples) * row.cost

    def decode(row):
        return [spread(row.samples), number(row.cost / 1e6), number(rate(row) / 1e9),
                f"{100 * rate(row) / bandwidth:.0f} %"]

    def prefill(row):
        return [spread(row.samples), number(rate(row) / 1e9), f"{100 * rate(row) / flops:.0f} %"]

    tables = {
        "decode": (f"Decode {options.decode} tokens after {options.depth}",
                   ["tokens/s", "MB/token", "GB/s", "of B"], decode),
        "prefill": (f"Prefill {options.prompt} tokens",
                    ["tokens/s", "GFLOP/s", "of the multiply-add peak"], prefill),
        "first-token": (f"From exec over the first token to exit, after {prompt} tokens",
                        ["ms"], lambda row: [spread([1e3 * s for s in row.samples])]),
        "quantize": (f"Quantize a file of {options.source.upper()} weights", ["s", "GB/s of input"],
                     lambda row: [spread(row.samples),
                                  number(row.cost / median(row.samples) / 1e9)]),
    }
    if machine.facts:
        print(f"{machine.facts['cpu']}, {machine.facts['cores']} cores, "
              f"{machine.facts['memory_bytes'] / 1e9:.0f} GB; {options.threads} threads: "
              f"B = read {spread([b / 1e9 for b in machine.bandwidths])} GB/s, multiply-add "
              f"{spread([f / 1e9 for f in machine.flops])} GFLOP/s.")
    print(f"Model {options.model}; rounds: {options.rounds}; median (least..most).")
    for test, groups in results.items():
        title, heads, cells = tables[test]
        print(f"\n{title}:\n")
        print("| type | program | " + " | ".join(heads) + " | hone's gain |")
        print("|---|---|" + "---:|" * (len(heads) + 1))
        for group in groups:
            print_group(group, cells, len(heads), test in ("decode", "prefill"))
