#!/usr/bin/env python3
"""The accuracy tables of docs/measurements.md: logits of every tiny model against the official
implementation, on every device. Standard library only.

    scripts/measure_accuracy.py [BIN_DIR]        prints Markdown; exit 1 where greedy ids differ
"""
import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
DEVICES = ("ref", "cpu")


def run(program, model, ids, device, tokens):
    command = [program, model, "--token-ids", ",".join(map(str, ids)), "-n", str(tokens), "--json",
               "--dump-logits", "--ignore-eos", "--device", device]
    limit = json.loads((model / "config.json").read_text()).get("max_position_embeddings")
    if limit and len(ids) + tokens > limit:  # dynamic scaling goes beyond what it was trained for
        command += ["--ctx", str(len(ids) + tokens)]
    return json.loads(subprocess.run(command, check=True, capture_output=True).stdout)


def relative_error(got, want):
    return max(abs(a - b) for a, b in zip(got, want)) / max(abs(b) for b in want)


def measure(program, model, device):
    """Largest relative logits error over the prompts, and whether all greedy ids agree."""
    expected = json.loads((model / "expected.json").read_text())
    worst, equal = 0.0, True
    for prompt in expected["prompts"]:
        answer = run(program, model, prompt["ids"], device, len(prompt["greedy"]))
        worst = max(worst, relative_error(answer["logits"], prompt["logits_last"]))
        equal = equal and answer["ids"] == prompt["greedy"]
    return worst, equal


def main():
    program = Path(sys.argv[1] if len(sys.argv) > 1 else ROOT / "build/release/bin") / "hone-generate"
    print("| model | " + " | ".join(f"{d}: logits error | {d}: greedy ids" for d in DEVICES) + " |")
    print("|---|" + "---:|---|" * len(DEVICES))
    all_equal = True
    for model in sorted((ROOT / "testdata").glob("tiny-*")):
        cells = []
        for device in DEVICES:
            error, equal = measure(program, model, device)
            cells += [f"{error:.1e}", "equal" if equal else "DIFFER"]
            all_equal = all_equal and equal
        print(f"| {model.name} | " + " | ".join(cells) + " |", flush=True)
    return 0 if all_equal else 1


if __name__ == "__main__":
    sys.exit(main())
