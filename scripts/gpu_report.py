#!/usr/bin/env python3
"""Gathers what scripts/gpu_check.sh wrote into a folder: report.json, report.md, and a short table
on standard output: each goal of the CUDA backend beside what was measured.
    scripts/gpu_report.py FOLDER"""
import json
import re
import sys
from pathlib import Path


def lines(folder, name):
    path = folder / f"{name}.log"
    return path.read_text(errors="replace").splitlines() if path.exists() else []


def objects(folder, name):
    found = []
    for line in lines(folder, name):
        try:
            found.append(json.loads(line))
        except json.JSONDecodeError:
            pass
    return found


def microbenchmarks(folder):
    """{name: {us, gb_per_s, share}} of the product benchmark's lines, and its read probe."""
    rows, read = {}, None
    for line in lines(folder, "matvec"):
        probe = re.search(r"reads ([\d.]+) TB/s", line)
        if probe:
            read = 1000 * float(probe[1])
        found = re.match(r"(.+?)\s+([\d.]+) us\s+([\d.]+) GB/s\s+([\d.]+) %", line)
        if found:
            rows[found[1].strip()] = {"us": float(found[2]), "gb_per_s": float(found[3]),
                                      "share": float(found[4]) / 100}
    return rows, read


def attention(folder):
    rows = {}
    pattern = re.compile(r"(decode|prefill)\s+(\S+)\s+(\S+)\s+(d\d+)\s+tokens\s+(\d+) length\s+(\d+):"
                         r"\s+([\d.]+) us.*?([\d.]+) %\s+([\d.]+) TFLOP/s")
    for line in lines(folder, "attention"):
        found = pattern.match(line)
        if found:
            name = f"{found[1]} {found[2]} {found[3]} {found[4]} {found[5]} over {found[6]}"
            rows[name] = {"us": float(found[7]), "share": float(found[8]) / 100,
                          "tflop_per_s": float(found[9])}
    return rows


def layers(folder):
    """{kind of weights, tokens: {us, tflop_per_s, share of the library's bare bf16}}, of one layer."""
    rows, tokens = {}, None
    for line in lines(folder, "gemm"):
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


def models(folder):
    rows = {}
    for path in sorted(folder.glob("decode_*.log")):
        text = path.read_text(errors="replace")  # messages may stand around the object
        try:
            report, _ = json.JSONDecoder().raw_decode(text[text.index("{"):])
        except ValueError:
            continue
        for result in report["results"]:
            rows[f"{path.stem[len('decode_'):]} {result['test']}"] = {
                key: result.get(key) for key in
                ("tokens_per_second", "gigabytes_per_second", "gflops", "joules_per_token",
                 "watts", "sm_megahertz", "slowed_by")}
    return rows


def energy(row):
    if row["joules_per_token"] is None:
        return ", energy n/a"
    slowed = f", slowed by {row['slowed_by']}" if row["slowed_by"] else ""
    return f", {row['joules_per_token']:.3g} J/token{slowed}"


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
    for name, row in report["models"].items():
        rate, flops = row["gigabytes_per_second"] or 0, row["gflops"] or 0
        share = f", {100 * rate / read:.0f} % of read bandwidth" if read else ""
        rows.append((name, f"{row['tokens_per_second'] or 0:.1f} tokens/s",
                     f"{rate:.0f} GB/s{share}, {flops / 1000:.1f} TFLOP/s{energy(row)}"))
    for row in report["peers"]:
        if "peer" not in row:
            continue
        what = " ".join(str(row[key]) for key in ("what", "model", "tokens", "rows", "columns",
                                                  "length") if key in row)
        figures = ", ".join(f"{row[key]:.1f} {unit}" for key, unit in
                            (("us", "us"), ("gb_per_s", "GB/s"), ("tflop_per_s", "TFLOP/s"),
                             ("tokens_per_s", "tokens/s")) if key in row)
        rows.append((f"{row['peer']}: {what}", figures or row.get("error", ""), ""))
    for row in report["llama_bench"]:
        rows.append((f"llama.cpp: {row[0]} {row[-2]}", f"{row[-1]} tokens/s", ""))
    return rows


def steps(folder):
    """[{outcome, step, seconds, said}] in the order of their ends; outcome: ok, failed, skipped."""
    return [dict(zip(("outcome", "step", "seconds", "said"), line.split("\t")))
            for line in lines_of(folder / "steps.tsv")]


def llama_bench(folder):
    """Rows of its table: model, size, ..., test, tokens/s."""
    return [[cell.strip() for cell in line.strip("|").split("|")]
            for line in lines(folder, "llama_bench") if line.startswith("| ") and "±" in line]


def main():
    folder = Path(sys.argv[1])
    products, read = microbenchmarks(folder)
    report = {
        "device": " ".join(lines_of(folder / "device.txt")),
        "steps": steps(folder),
        "read_gb_per_s": read,
        "products": products,
        "attention": attention(folder),
        "layers": layers(folder),
        "models": models(folder),
        "peers": objects(folder, "peers"),
        "llama_bench": llama_bench(folder),
    }
    (folder / "report.json").write_text(json.dumps(report, indent=1) + "\n")
    rows = table(report)
    markdown = [f"{report['device']}; reads {read} GB/s", ""]
    markdown += ["| step | outcome | seconds | said |", "|---|---|---:|---|"]
    markdown += [f"| {s['step']} | {s['outcome']} | {s['seconds']} | {s['said'].replace('|', '/')} |"
                 for s in report["steps"]]
    markdown += ["", "| what | figure | share |", "|---|---:|---|"]
    markdown += [f"| {a} | {b} | {c} |" for a, b, c in rows]
    (folder / "report.md").write_text("\n".join(markdown) + "\n")
    for a, b, c in rows:
        print(f"{a:58s} {b:>22s}  {c}")


def lines_of(path):
    return path.read_text(errors="replace").splitlines() if path.exists() else []


if __name__ == "__main__":
    main()
