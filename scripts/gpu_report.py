#!/usr/bin/env python3
"""Reads the log of scripts/gpu_check.sh: writes report.json and report.md beside it, and prints a
short table: each goal of the CUDA backend beside what was measured.
    scripts/gpu_report.py FOLDER          with log.txt, also of a run that was cut short"""
import json
import math
import re
import sys
from pathlib import Path

# Of the product benchmark: [rows, columns] of all matrices together; from 64 MB on in bf16, and less.
LARGE = {"8b-gate-up": (28672, 4096), "8b-down": (4096, 14336), "8b-head": (128256, 4096),
         "1b-gate-up": (16384, 2048)}
SMALL = {"8b-qkv": (6144, 4096), "8b-o": (4096, 4096), "1b-down": (2048, 8192)}


def sections(log):
    """{step: its lines}, and [{outcome, step, seconds, said}] in the order of their ends."""
    found, ends, name = {"": []}, [], ""
    for line in log.read_text(errors="replace").splitlines():
        end = re.match(r"--- (ok|failed|skipped) (\S+) (\d+) ?(.*)", line)
        if line.startswith("=== "):
            name = line[4:]
            found[name] = []
        elif end:
            ends.append(dict(zip(("outcome", "step", "seconds", "said"), end.groups())))
            name = ""
        elif line:
            found[name].append(line)
    ended = {end["step"] for end in ends}
    ends += [{"outcome": "cut short", "step": step, "seconds": "", "said": said[-1] if said else ""}
             for step, said in found.items() if step and step not in ended]
    return found, ends


def objects(lines):
    found = []
    for line in lines:
        try:
            found.append(json.loads(line))
        except json.JSONDecodeError:
            pass
    return found


def microbenchmarks(lines):
    """{name: {us, gb_per_s, share}} of the product benchmark's lines, and its read probe."""
    rows, read = {}, None
    for line in lines:
        probe = re.search(r"reads ([\d.]+) TB/s", line)
        if probe:
            read = 1000 * float(probe[1])
        found = re.match(r"(.+?)\s+([\d.]+) us\s+([\d.]+) GB/s\s+([\d.]+) %", line)
        if found:
            rows[found[1].strip()] = {"us": float(found[2]), "gb_per_s": float(found[3]),
                                      "share": float(found[4]) / 100}
    return rows, read


def attention(lines):
    rows = {}
    pattern = re.compile(r"(decode|prefill)\s+(\S+)\s+(\S+)\s+(d\d+)\s+tokens\s+(\d+) length\s+(\d+):"
                         r"\s+([\d.]+) us.*?([\d.]+) %\s+([\d.]+) TFLOP/s")
    for line in lines:
        found = pattern.match(line)
        if found:
            name = f"{found[1]} {found[2]} {found[3]} {found[4]} {found[5]} over {found[6]}"
            rows[name] = {"us": float(found[7]), "share": float(found[8]) / 100,
                          "tflop_per_s": float(found[9])}
    return rows


def layers(lines):
    """{kind of weights, tokens: {us, tflop_per_s, share of the library's bare bf16}}, of one layer."""
    rows, tokens = {}, None
    for line in lines:
        head = re.match(r"products of (\d+) tokens", line)
        if head:
            tokens = head[1]
        figures = re.findall(r"[\d.]+", line[12:])
        if not tokens or not re.fullmatch(r"[\d. ]+", line[12:]) or len(figures) < 4:
            continue
        share = figures.pop() if len(figures) % 2 else "1"
        rows[f"{line[:12].strip()}, {tokens} tokens"] = {
            "us": float(figures[-2]), "tflop_per_s": float(figures[-1]), "share": float(share)}
    return rows


def figures_of(lines, unit):
    """{name: figure} of lines "name: 1.23 unit"."""
    found = (re.match(rf"(.+): +([\d.]+) {re.escape(unit)}$", line) for line in lines)
    return {f[1]: float(f[2]) for f in found if f}


def models(found):
    rows = {}
    for step, lines in found.items():
        if not step.startswith("decode_") or "{" not in {line[:1] for line in lines}:
            continue
        begin = next(i for i, line in enumerate(lines) if line.startswith("{"))
        try:  # messages may stand around the object
            report, _ = json.JSONDecoder().raw_decode("\n".join(lines[begin:]))
        except ValueError:
            continue
        for result in report["results"]:
            rows[f"{step[len('decode_'):]} {result['test']}"] = {
                key: result.get(key) for key in
                ("tokens_per_second", "gigabytes_per_second", "read_gigabytes_per_second", "gflops",
                 "joules_per_token", "watts", "sm_megahertz", "slowed_by")}
    return rows


def llama_bench(lines):
    """Rows of its table: model, size, ..., test, tokens/s."""
    return [[cell.strip() for cell in line.strip("|").split("|")]
            for line in lines if line.startswith("| ") and "±" in line]


def gathered(log):
    found, ends = sections(log)
    products, read = microbenchmarks(found.get("matvec", []))
    return {
        "device": " ".join(found.get("device", [])),
        "steps": ends,
        "read_gb_per_s": read,
        "products": products,
        "attention": attention(found.get("attention", [])),
        "layers": layers(found.get("gemm", [])),
        "launches_us": figures_of(found.get("gemm", []), "us"),
        "loading_gb_per_s": figures_of(found.get("gemm", []), "GB/s"),
        "models": models(found),
        "peers": objects(found.get("peers", [])),
        "llama_bench": llama_bench(found.get("llama_bench", [])),
    }


# ---- Goals.

def ratio(a, b):
    return a / b if a is not None and b else None


def lowest(values):
    values = list(values)
    return None if None in values else min(values)


def mean(values):
    values = list(values)
    return None if None in values else math.exp(sum(map(math.log, values)) / len(values))


def peer(report, **wanted):
    """The row of a peer with these keys, or {}."""
    return next((row for row in report["peers"]
                 if all(row.get(key) == value for key, value in wanted.items())), {})


def product_goals(r):
    def of(name, key):
        return r["products"].get(name, {}).get(key)

    def shares(kind, shapes):
        return lowest(of(f"{kind} {shape} x1", "share") for shape in shapes)

    def times(kind, over, shapes):
        return lowest(ratio(of(f"{over} {s} x1", "us"), of(f"{kind} {s} x1", "us")) for s in shapes)

    over_cublas = [ratio(peer(r, what="product", tokens=1, rows=rows, columns=columns).get("us"),
                         of(f"bf16 {shape} x1", "us"))
                   for shape, (rows, columns) in {**LARGE, **SMALL}.items()]
    few = [r["layers"].get(f"int4 g128, {tokens} tokens", {}).get("share")
           for tokens in (16, 32, 64, 256, 2048)]
    int8, int4, sparse = (["8b-gate-up", "8b-down", "8b-head"], ["8b-gate-up", "8b-head"],
                          ["8b-gate-up", "8b-down"])
    return [
        ("bf16 product, one token, 64 MB and more: of read bandwidth", .88, shares("bf16", LARGE)),
        ("the same, 32 to 64 MB", .75, shares("bf16", SMALL)),
        ("the same, times as fast as cuBLAS, worst shape", 1, lowest(over_cublas)),
        ("the same, geometric mean of shapes", 1.15, mean(over_cublas)),
        ("int8 product, one token, 32 MB and more: of read bandwidth", .85, shares("int8-128", int8)),
        ("int4 product, one token, 32 MB and more: of read bandwidth", .75, shares("int4-128", int4)),
        ("the same, times as fast as own bf16", 2.8, times("int4-128", "bf16", int4)),
        ("int4 product, 16 tokens: times as fast as the library's bf16", 2.8, few[0]),
        ("the same, 32 tokens", 1.9, few[1]),
        ("the same, 64, 256, 2048 tokens, worst", .95, lowest(few[2:])),
        ("2:4 bf16, one token: times as fast as own bf16", 1.5, times("bf16-2:4", "bf16", sparse)),
        ("2:4 int4, one token: times as fast as own int4", 1.15,
         times("int4-2:4", "int4-128", sparse)),
    ]


def model_goals(r):
    def of(name, key):
        return r["models"].get(name, {}).get(key)

    def share(name):
        return ratio(of(f"{name} decode 128", "gigabytes_per_second"), r["read_gb_per_s"] or
                     of(f"{name} decode 128", "read_gigabytes_per_second"))

    def over_torch(name):
        return ratio(of(f"{name}_none decode 128", "tokens_per_second"),
                     peer(r, what="decode", model=name).get("tokens_per_s"))

    prefill = of("llama-3.1-8b_none prefill 2048", "gflops")
    energy = ratio(of("llama-3.1-8b_w4a16 decode 128", "joules_per_token"),
                   of("llama-3.1-8b_none decode 128", "joules_per_token"))
    return [
        ("decode, Llama-8B, bf16: of read bandwidth", .82, share("llama-3.1-8b_none")),
        ("the same, times as fast as torch.compile", 1.15, over_torch("llama-3.1-8b")),
        ("decode, Llama-8B, int8: of read bandwidth", .75, share("llama-3.1-8b_w8a16")),
        ("decode, Llama-8B, int4: of read bandwidth", .62, share("llama-3.1-8b_w4a16")),
        ("decode, Llama-1B, bf16: of read bandwidth", .65, share("llama-3.2-1b_none")),
        ("the same, times as fast as torch.compile", 1.3, over_torch("llama-3.2-1b")),
        ("decode, Qwen-0.6B, bf16: of read bandwidth", .42, share("qwen3-0.6b_none")),
        ("prefill, Llama-8B, 2048 tokens: of the library's bf16 rate", .65,
         ratio(prefill and prefill / 1000,
               r["layers"].get("bare bf16, 2048 tokens", {}).get("tflop_per_s"))),
        ("energy of a token, Llama-8B, bf16 over int4", 1 / .45, ratio(1, energy)),
    ]


def other_goals(r):
    decode = r["attention"].get("decode F16 32/8 d128 1 over 32768", {})
    sdpa = peer(r, what="attention of one token", length=32768)
    place = r["loading_gb_per_s"]
    limit = {"host time of a recorded step of 200 kernels": 10,
             "a kernel more in a recorded step": 1.5}
    return [
        ("attention, one token, 32 k positions: of read bandwidth", .75, decode.get("share")),
        ("the same, times as fast as torch SDPA", 1, ratio(sdpa.get("us"), decode.get("us"))),
        ("loading bf16: of the rate of a pinned copy", .8,
         ratio(place.get("placing bf16"), place.get("a pinned copy"))),
    ] + [(f"{most} us over {name}", 1, ratio(most, r["launches_us"].get(name)))
         for name, most in limit.items()]


def goals(report):
    """[(what, the least it shall be, what was measured or None)]"""
    return product_goals(report) + model_goals(report) + other_goals(report)


def verdict(least, measured):
    if measured is None:
        return "not measured"
    return f"{measured:.2f}" + ("" if measured >= least else ", missed")


# ---- Tables.

def energy(row):
    if row["joules_per_token"] is None:
        return ", energy n/a"
    slowed = f", slowed by {row['slowed_by']}" if row["slowed_by"] else ""
    return f", {row['joules_per_token']:.3g} J/token{slowed}"


def peer_rows(report):
    for row in report["peers"]:
        if "peer" not in row:
            continue
        what = " ".join(str(row[key]) for key in ("what", "model", "tokens", "rows", "columns",
                                                  "length", "backend") if key in row)
        figures = ", ".join(f"{row[key]:.1f} {unit}" for key, unit in
                            (("us", "us"), ("gb_per_s", "GB/s"), ("tflop_per_s", "TFLOP/s"),
                             ("tokens_per_s", "tokens/s")) if key in row)
        yield f"{row['peer']}: {what}", figures or row.get("error", ""), ""
    for row in report["llama_bench"]:
        yield f"llama.cpp: {row[0]} {row[-2]}", f"{row[-1]} tokens/s", ""


def table(report):
    read = report["read_gb_per_s"]
    rows = []
    for name, row in report["products"].items():
        rows.append((name, f"{row['us']:.1f} us", f"{100 * row['share']:.0f} % of read bandwidth"))
    for name, row in report["attention"].items():
        rows.append((f"attention {name}", f"{row['us']:.1f} us",
                     f"{100 * row['share']:.0f} % of read bandwidth, {row['tflop_per_s']:.0f} TFLOP/s"))
    for name, row in report["layers"].items():
        rows.append((f"products of a layer, {name}", f"{row['us']:.1f} us",
                     f"{row['tflop_per_s']:.0f} TFLOP/s, {100 * row['share']:.0f} % of bare bf16"))
    rows += [(name, f"{us:.2f} us", "") for name, us in report["launches_us"].items()]
    rows += [(name, f"{rate:.1f} GB/s", "") for name, rate in report["loading_gb_per_s"].items()]
    for name, row in report["models"].items():
        rate, flops = row["gigabytes_per_second"] or 0, row["gflops"] or 0
        share = f", {100 * rate / read:.0f} % of read bandwidth" if read else ""
        rows.append((name, f"{row['tokens_per_second'] or 0:.1f} tokens/s",
                     f"{rate:.0f} GB/s{share}, {flops / 1000:.1f} TFLOP/s{energy(row)}"))
    return rows + list(peer_rows(report))


def markdown(report):
    cell = lambda text: str(text).replace("|", "/")
    lines = [f"{report['device']}; reads {report['read_gb_per_s']} GB/s", ""]
    lines += ["| step | outcome | seconds | said |", "|---|---|---:|---|"]
    lines += [f"| {s['step']} | {s['outcome']} | {s['seconds']} | {cell(s['said'])} |"
              for s in report["steps"]]
    lines += ["", "| goal | at least | measured |", "|---|---:|---:|"]
    lines += [f"| {what} | {least:.2f} | {verdict(least, measured)} |"
              for what, least, measured in report["goals"]]
    lines += ["", "| what | figure | share |", "|---|---:|---|"]
    lines += [f"| {cell(a)} | {cell(b)} | {cell(c)} |" for a, b, c in table(report)]
    return "\n".join(lines) + "\n"


def main():
    folder = Path(sys.argv[1])
    report = gathered(folder / "log.txt")
    report["goals"] = goals(report)
    (folder / "report.json").write_text(json.dumps(report, indent=1) + "\n")
    (folder / "report.md").write_text(markdown(report))
    for what, least, measured in report["goals"]:
        print(f"{what:66s} {least:5.2f}  {verdict(least, measured)}")


if __name__ == "__main__":
    main()
