#!/usr/bin/env python3
"""Plants one bug at a time in the CUDA kernels and asks whether the tests on the emulator notice.

Each mutant replaces a piece of text of one file, compiles the kernels' file that shows it and links
that into the test programs of a build: the checked one first, then the plain one under each order
of threads. A mutant that all of them let pass is a hole in the tests: fill it.

    tests/simt/mutants.py [BUILD_DIR] [--quick] [FILTER]     build/release; some mutants only
    tests/simt/mutants.py --tsan ...                         by ThreadSanitizer alone
"""
import json
import os
import shlex
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
RUNS = [("check", "forward"), ("plain", "forward"), ("plain", "reverse"), ("plain", "random")]
TSAN_RUNS = [("tsan", "forward")]
OBJECTS = {"plain": "plain", "check": "check", "tsan": "check"}  # what a program is linked from
DEVICE = "kernels/simt/device.h"

# Kernel file, test file, quick, what is wrong, file (None: the kernel file), old text, new text.
MUTANTS = [
    ("norm", "small_ops", True, "block_sum without its barrier", DEVICE,
     "scratch[warp_id()] = v;\n  sync_block();", "scratch[warp_id()] = v;"),
    ("norm", "small_ops", True, "block_sum reads the place of a warp that is not there", DEVICE,
     "lane_id() < warps ?", "lane_id() <= warps ?"),
    ("norm", "small_ops", False, "warp_sum stops at 8 lanes", DEVICE,
     "T warp_sum(T v) {\n#pragma unroll\n  for (int m = kWarpSize / 2;",
     "T warp_sum(T v) {\n#pragma unroll\n  for (int m = kWarpSize / 8;"),
    ("norm", "small_ops", True, "two sums in one scratch without a barrier between", None,
     "block_sum(square, squares)", "block_sum(square, sums)"),
    ("norm", "small_ops", False, "row end off by one vector", "kernels/cuda/row_part.cuh",
     "if (column(i) < args.dim) kept_", "if (column(i) <= args.dim) kept_"),
    ("norm", "small_ops", True, "no wait_for_previous", None, "  simt::wait_for_previous();\n", ""),
    ("norm", "small_ops", False, "bias of layer norm forgotten", None, "out[e] += bias[e]",
     "out[e] += 0 * bias[e]"),
    ("argmax", "small_ops", True, "no barrier between writing and reading `last`", None,
     "  simt::sync_block();\n  if (!last) return;", "  if (!last) return;"),
    ("argmax", "small_ops", True, "no fence before the block is counted", None,
     "    simt::thread_fence();\n    last =", "    last ="),
    ("argmax", "small_ops", True, "counter not set back", None, "  arrived[row] = 0;\n", ""),
    ("argmax", "small_ops", False, "index of the highest of equals",
     "kernels/cuda/largest.cuh",
     "(0xffffffffu - static_cast<uint32_t>(index));", "static_cast<uint32_t>(index);"),
    ("sample", "sample", False, "bins cleared while others read them", None,
     "  sync_block();  // nobody reads the bins of the digit before\n", ""),
    ("sample", "sample", False, "no barrier before the bins are filled", None,
     "bins.mass[threadIdx.x] = 0;\n  sync_block();", "bins.mass[threadIdx.x] = 0;"),
    ("sample", "sample", False, "a token beyond the mass is drawn", None,
     ">= target) break;", "> target) break;"),
    ("sample", "sample", False, "of equals the first, whatever the draw", None,
     "(target + each - 1) / each : target;", "1 : target;"),
    ("sample", "sample", False, "ids penalised before all are marked", None,
     "1u << id % 32);\n  }\n  sync_block();", "1u << id % 32);\n  }"),
    ("drawn_ids", "sample", False, "no wait_for_previous", None, "  simt::wait_for_previous();\n", ""),
    ("gather_rows", "small_ops", True, "row end off by one", None, "column >= dim", "column > dim"),
    ("gather_rows", "small_ops", False, "threads beyond the row leave before the wait", None,
     "  simt::wait_for_previous();\n  const auto [row, column] = row_place(blocks, kWidth);\n"
     "  if (column >= dim) return;\n",
     "  const auto [row, column] = row_place(blocks, kWidth);\n"
     "  if (column >= dim) return;\n  simt::wait_for_previous();\n"),
    ("pointwise", "small_ops", False, "a vector beyond the end", None,
     "first + kWidth <= count", "first < count"),
    ("embed", "small_ops", False, "one chunk too many", None,
     "chunk * 16 >= table.row_stride", "chunk * 16 > table.row_stride"),
    ("dense", "gemm", True, "no barrier after cp_async_wait", None,
     "cp_async_wait<1>();\n    simt::sync_block();", "cp_async_wait<1>();"),
    ("dense", "gemm", False, "stage refilled while it is read", None,
     "    simt::sync_block();\n  }\n\n#pragma unroll\n  for (int i = 0; i < 2; ++i) {",
     "  }\n\n#pragma unroll\n  for (int i = 0; i < 2; ++i) {"),
    ("dense", "gemm", False, "waits for one group too few", None,
     "cp_async_wait<1>", "cp_async_wait<2>"),
    ("dense", "gemm", False, "rows of a fragment in the wrong order", None,
     "warp_n + 16 * i + lane % 8 + lane / 16 * 8, k + lane / 8 % 2",
     "warp_n + 16 * i + lane % 16, k + lane / 16"),
    ("dense", "gemm", False, "result beyond the last token", None,
     "token < x.rows && row < weight.rows) write(result, token, row, sums",
     "token <= x.rows && row < weight.rows) write(result, token, row, sums"),
    ("dense", "gemm", False, "tile row beyond the matrix is read", None,
     "row + r < from.rows", "row + r <= from.rows"),
    ("round_tokens", "gemm", False, "words of int8 tokens in the order of the columns", None,
     "(word % 4 * 4 + word / 4) * 4", "word * 4"),
    ("gemm_few", "gemm", False, "no fences before the block is counted",
     "kernels/cuda/gemm_few_sums.cuh", "  thread_fence();\n  sync_block();\n", "  sync_block();\n"),
    ("gemm_few", "gemm", False, "no barrier between a stage's copy and its use", None,
     "    sync_block();  // all see the stage, and none reads the one that is filled next\n", ""),
    ("matvec", "matvec", False, "waits for one segment too few", "kernels/cuda/matvec_sums.cuh",
     "cp_async_wait<kStages - 2>", "cp_async_wait<kStages - 1>"),
    ("matvec", "matvec", False, "slot refilled while other lanes read",
     "kernels/cuda/matvec_sums.cuh",
     "      sync_warp();  // all have read the slot that is filled next\n", ""),
    ("matvec", "matvec", False, "no barrier before the strips are added",
     "kernels/cuda/matvec.cuh", "    sync_block();\n", ""),
    ("matvec", "matvec", False, "counter of a tile not set back", "kernels/cuda/matvec.cuh",
     "    if (lane_id() == 0) counters[tile] = 0;\n", ""),
    ("matvec", "matvec", False, "2:4 integers all take the scale of their segment's first group",
     "kernels/cuda/matvec_sums.cuh",
     "column += kBlockColumns;\n        if (column >= args.group) {\n          column = 0;\n          ++group;",
     "column += kBlockColumns;\n        if (column >= args.group) {\n          column = 0;"),
    ("sparse", "gemm", False, "2:4 integers that were not kept are 0, whatever the zero point", None,
     "quadruple<kForm>(from.matrix, row, column, zero)",
     "quadruple<kForm>(from.matrix, row, column, 0 * zero)"),
    ("sparse", "gemm", False, "positions of the lower rows for all", None,
     "index >> (in_tile / 8 * 16 + lane * 4)", "index >> (lane * 4)"),
    ("place", "place", False, "words of 2:4 integers in stored order", None,
     "(kParted ? e % kHalf * 2 + e / kHalf : e)", "e"),
    ("place", "place", False, "columns that were not kept are 0, whatever the zero point", None,
     "from.zeros ? zero_of(from, row, i) : 0", "0"),
    ("place", "place", True, "the index of rows beyond the last is read", None,
     "row < from.rows && quad", "quad"),
    ("rope", "rope_kv", False, "no barrier after the angles", None,
     "  sync_block();\n\n  const int64_t number", "\n  const int64_t number"),
    ("rope", "rope_kv", False, "written in place before other lanes have read", None,
     "  sync_warp();  // every lane has read what others now write\n", ""),
    ("rope", "rope_kv", False, "no wait_for_previous", None, "  wait_for_previous();\n", ""),
    ("rope", "rope_kv", False, "the second half turns the wrong way", None,
     "first ? -turn[1] : turn[1]", "first ? turn[1] : -turn[1]"),
    ("attention_decode", "attention", False, "waits for one tile too few", None,
     "cp_async_wait<R::kStages - 2>", "cp_async_wait<R::kStages - 1>"),
    ("attention_decode", "attention", False, "ring refilled while other lanes read", None,
     "    sync_warp();  // the tile is there for every lane, and no lane still reads the one before\n",
     ""),
    ("attention_decode", "attention", False, "no fence before the block is counted", None,
     "    thread_fence();  // what the block wrote, before the count\n", ""),
    ("attention_decode", "attention", False, "counter not set back", None,
     "  if (threadIdx.x == 0) split.arrived[place] = 0;\n", ""),
    ("attention_decode", "attention", False, "window one position too wide", None,
     "range.position - args.window + 1", "range.position - args.window"),
    ("attention_decode", "attention", False, "idle blocks do not wait", None,
     "    wait_for_previous();\n    return;", "    return;"),
]


def commands(build):
    """{(file, variant): compile command}, {variant: link command}"""
    compile_, link = {}, {}
    for entry in json.loads((build / "compile_commands.json").read_text()):
        for variant in set(OBJECTS.values()):
            if f"hone_cuda_kernels_{variant}.dir" in entry["command"]:
                compile_[Path(entry["file"]).stem, variant] = entry["command"]
    for variant in OBJECTS:
        out = subprocess.run(["ninja", "-C", str(build), "-t", "commands", f"cuda_{variant}_test"],
                             check=True, capture_output=True, text=True).stdout
        link[variant] = out.splitlines()[-1]
    return compile_, link


def source_of(mutant):
    return f"kernels/cuda/{mutant[0]}.cu"


def place_of(mutant):
    """The file to change, and its text, in which the mutant's stands once."""
    kernel, _, _, what, file, old, _ = mutant
    place = file or source_of(mutant)
    text = (ROOT / place).read_text()
    if text.count(old) != 1:
        sys.exit(f"mutants.py: {kernel}: {what}: its text is {text.count(old)} times in {place}; "
                 "bring the table up to date")
    return place, text


def plant(mutant, tree):
    """The folder `tree` gets the changed file. Returns what is compiled."""
    *_, file, old, new = mutant
    place, text = place_of(mutant)
    changed = tree / place
    changed.parent.mkdir(parents=True)
    changed.write_text(text.replace(old, new))
    return changed if file is None else ROOT / source_of(mutant)


def compile_mutant(command, source, tree, out):
    words = [w for w in shlex.split(command) if Path(w).name != "ccache"]
    words[words.index("-o") + 1] = str(out)
    words[words.index("-c") + 1] = str(source)
    words[1:1] = ["-w", f"-iquote{tree}", f"-I{tree}"]
    subprocess.run(words, check=True)


def link_mutant(command, build, kernel, variant, mutated, program):
    words = [w for w in shlex.split(command) if w not in (":", "&&")]
    words[words.index("-o") + 1] = str(program)
    mine = [i for i, w in enumerate(words)
            if f"hone_cuda_kernels_{variant}.dir" in w and w.endswith(f"/{kernel}.cu.o")]
    del words[mine[0]]
    # First: of a header's functions, which several files bring, the linker takes the first.
    words.insert(next(i for i, w in enumerate(words) if w.endswith(".o")), str(mutated))
    subprocess.run(words, check=True, cwd=build)


def caught(program, test, order):
    """How the program failed, or None."""
    try:
        r = subprocess.run([str(program), f"-sf=*{test}_test.cpp", "-aa=1"], capture_output=True,
                           text=True, timeout=300, env={**os.environ, "SIMT_ORDER": order})
    except subprocess.TimeoutExpired:
        return "timed out"
    if r.returncode == 0:
        return None
    for line in r.stdout.splitlines():
        if "simt: " in line:
            return line.split("simt: ", 1)[1].strip()
    return "wrong results" if "ERROR" in r.stdout else f"exit status {r.returncode}"


def try_mutant(mutant, build, known, work, runs):
    compile_, link = known
    kernel, test = mutant[:2]
    source = plant(mutant, work)
    for variant, order in runs:
        program, objects = work / variant, OBJECTS[variant]
        if not program.exists():
            mutated = work / f"{variant}.o"
            compile_mutant(compile_[kernel, objects], source, work, mutated)
            link_mutant(link[variant], build, kernel, objects, mutated, program)
        how = caught(program, test, order)
        if how:
            return f"{variant} {order}: {how}"
    return None


def main():
    arguments = [a for a in sys.argv[1:] if not a.startswith("--")]
    build = Path(arguments[0]) if arguments else ROOT / "build/release"
    build = build.resolve()
    wanted = arguments[1] if len(arguments) > 1 else ""
    chosen = [m for m in MUTANTS if (m[2] or "--quick" not in sys.argv)
              and wanted in f"{m[0]}: {m[3]}"]
    for mutant in MUTANTS:  # also those that are not tried now
        place_of(mutant)
    known = commands(build)
    runs = TSAN_RUNS if "--tsan" in sys.argv else RUNS
    missed = 0
    with tempfile.TemporaryDirectory(prefix="mutants.") as work, \
         ThreadPoolExecutor(os.cpu_count()) as pool:
        results = pool.map(
            lambda i: try_mutant(chosen[i], build, known, Path(work) / str(i), runs),
            range(len(chosen)))
        for mutant, how in zip(chosen, results):
            missed += how is None
            print(f"{mutant[0]}: {mutant[3]}: {how or 'MISSED'}", flush=True)
    print(f"{len(chosen) - missed} of {len(chosen)} planted bugs caught")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
