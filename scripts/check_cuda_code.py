#!/usr/bin/env python3
"""Checks the code that nvcc made of the CUDA kernels for every architecture: registers, spills, and
that the instructions a kernel was written for are there. A kernel can be right and yet load byte
by byte; only its code shows that. Reads what the build keeps beside the plug-in (the PTX and cubin
of each file and architecture); needs no GPU.

Where nvdisasm of the toolkit is there it reads the machine code (SASS), too.

    scripts/check_cuda_code.py [CODE_DIR] [--list]     build/release/kernels/cuda/code

--list: a table, a row for each kernel, of registers and bytes of local memory.
"""
import re
import shutil
import struct
import subprocess
import sys
from pathlib import Path

# Instructions, by what kernels are written for. In PTX; volatile or not, whatever comes behind.
VECTOR_LOAD = r"ld\.global\S*\.v(4\.[a-z]32|2\.[a-z]64)"
VECTOR_STORE = r"st\.global\S*\.v(4\.[a-z]32|2\.[a-z]64)"
MMA_16 = r"mma\.sync\.aligned\.m16n8k16\.row\.col\.f32\.(f16\.f16|bf16\.bf16)\.f32"
MMA_8 = r"mma\.sync\.aligned\.m16n8k32\.row\.col\.s32\.s8\.s8\.s32"
CP_ASYNC = r"cp\.async\.cg\.shared\.global"
LDMATRIX = r"ldmatrix\.sync\.aligned\.m8n8\.x4"
# Of every kernel on an architecture that has them.
DEPENDENT_LAUNCH = [r"griddepcontrol\.wait", r"griddepcontrol\.launch_dependents"]
# Of kernels that read fp8, from 89 on.
FP8_KERNELS, FP8 = r"(matvec|few)\w*_kernel<\(Form\)[49]", r"cvt\.rn\.f16x2\.e4m3x2"

# Kernel (as demangled, without "hone::cuda::"), most registers a thread may have, instructions. The
# first row that matches holds. 65536 / (registers * threads) blocks fit a multiprocessor. No kernel
# spills.
KERNELS = [
    # Elementwise: 256 threads, bound by memory; the wide form moves 16 bytes at a time.
    (r"(add_bias|gather_rows)_kernel<4>", 32, [VECTOR_LOAD, VECTOR_STORE]),
    (r"(add_bias|gather_rows)_kernel<1>", 32, []),
    (r"pointwise_kernel<.*, 4>", 40, [VECTOR_LOAD, VECTOR_STORE]),
    (r"pointwise_kernel<.*, 1>", 40, []),
    (r"finish_kernel<.*, 4>", 40, [VECTOR_LOAD, VECTOR_STORE]),
    (r"finish_kernel<.*, 1>", 40, []),
    (r"embed_kernel", 40, [VECTOR_LOAD, VECTOR_STORE]),
    (r"(turn_words|place_elements)_kernel", 40, [VECTOR_STORE]),
    (r"place_(index|scales)_kernel", 40, []),
    (r"decode_kernel<\(PlacedForm\)[35]", 48, [VECTOR_LOAD, r"st\.global\.(v2\.[a-z]32|[a-z]64)"]),
    (r"decode_kernel<\(PlacedForm\)", 48, [VECTOR_LOAD, VECTOR_STORE]),
    (r"heads_kernel", 64, []),
    # Rows that stay in registers.
    (r"norm_kernel<.*, 4>", 80, [VECTOR_LOAD, VECTOR_STORE]),
    (r"norm_kernel<.*, 1>", 64, []),
    (r"round_tokens_kernel<(false|\(bool\)0), 4>", 64, [VECTOR_LOAD, VECTOR_STORE]),
    (r"round_tokens_kernel<.*, 4>", 64, [VECTOR_LOAD, r"st\.global\.u?b?32"]),
    (r"input_kernel<.*, 4>", 56, [VECTOR_LOAD]),
    (r"(round_tokens|input)_kernel<.*, 1>", 64, []),
    (r"fragments_kernel", 64, [r"st\.global"]),
    (r"argmax_kernel<4>", 40, [VECTOR_LOAD, r"atom\.\S*add"]),
    (r"argmax_kernel<1>", 40, [r"atom\.\S*add"]),
    # A block of 512 threads a row of logits.
    (r"sample_kernel<4>", 112, [VECTOR_LOAD, r"atom\.shared\S*add\.u64", r"st\.global\S*\.v"]),
    (r"sample_kernel<1>", 112, [r"atom\.shared\S*add\.u64"]),
    (r"drawn_ids_kernel", 32, []),
    # Dense tiles: 4 blocks of 128 threads.
    (r"dense_kernel<signed char", 128, [CP_ASYNC, LDMATRIX, MMA_8]),
    (r"dense_kernel", 128, [CP_ASYNC, LDMATRIX, MMA_16]),
    (r"float_kernel", 48, [r"fma\.rn\.f32"]),
    # Weights streamed through shared memory into tensor cores.
    (r"matvec_f32_kernel", 64, [r"fma\.rn\.f32"]),
    (r"matvec_kernel<\(Form\)[5-9]", 128, [CP_ASYNC, r"mma\.sp"]),
    (r"matvec_kernel", 128, [CP_ASYNC, MMA_16]),  # two blocks of 256 threads
    (r"matvec_split_kernel<\(Form\)[5-9]", 160, [CP_ASYNC, r"mma\.sp"]),
    (r"matvec_split_kernel", 160, [CP_ASYNC, MMA_16]),
    (r"(expand|embed_sparse)_kernel", 48, [VECTOR_LOAD]),
    (r"expand_codes_kernel", 40, [VECTOR_STORE]),
    (r"embed_codes_kernel", 32, []),
    (r"few_kernel", 255, [CP_ASYNC, MMA_16]),
    # Attention: a block fills a multiprocessor.
    (r"decode_kernel<\(DType\)", 255, [CP_ASYNC, MMA_16]),
    (r"prefill_kernel", 255, [CP_ASYNC, MMA_16]),
    # Measures what memory gives.
    (r"read_kernel", 64, [VECTOR_LOAD]),
]
# Of all kernels: arrays that registers cannot index.
FORBIDDEN = r"\b(ld|st)\.local"

# The machine's instructions for those above that are one instruction on every machine.
MACHINE = {
    VECTOR_LOAD: r"LDG\.E\S*\.128",
    VECTOR_STORE: r"STG\.E\S*\.128",
    MMA_16: r"HMMA\.16816\.F32",
    MMA_8: r"IMMA\.16832\.S8\.S8",
    r"mma\.sp": r"HMMA\.SP\.16832\.F32",
    CP_ASYNC: r"LDGSTS\.E\.BYPASS\S*\.128",
    LDMATRIX: r"LDSM\.16\.M88\.4",
    r"fma\.rn\.f32": r"FFMA",
    FP8: r"F2FP\.F16\.E4M3\.UNPACK_B",
    DEPENDENT_LAUNCH[0]: r"ACQBULK",
    DEPENDENT_LAUNCH[1]: r"PREEXIT",
}
MACHINE_FORBIDDEN = r"\b(LDL|STL)\b"


def demangled(names):
    text = subprocess.run(["c++filt"], input="\n".join(names), text=True, capture_output=True,
                          check=True).stdout
    short = re.compile(r"hone::(cuda::|simt::)?|\(anonymous namespace\)::|matvec_detail::")
    return [short.sub("", re.sub(r"\(anonymous namespace\)::", "", line)).removeprefix("void ")
            for line in text.splitlines()]


def elf_sections(data):
    """(name, header info word, bytes) of each section of a 64-bit ELF file."""
    offset, = struct.unpack_from("<Q", data, 0x28)
    size, count, names = struct.unpack_from("<HHH", data, 0x3A)
    headers = [struct.unpack_from("<IIQQQQIIQQ", data, offset + i * size) for i in range(count)]
    strings = headers[names]
    for h in headers:
        start = strings[4] + h[0]
        name = data[start:data.index(b"\0", start)].decode()
        yield name, h, data[h[4]:h[4] + h[5]] if h[1] != 8 else b""


# Attributes in the section .nv.info: a code of form 4 (sized), the attribute, its size, its bytes.
REGISTERS, FRAME = 0x2F, 0x11


def resources(cubin):
    """{mangled kernel: [registers, bytes of local memory]}"""
    data = cubin.read_bytes()
    sections = list(elf_sections(data))
    by_name = {name: content for name, _, content in sections}
    table, strings = by_name[".symtab"], by_name[".strtab"]

    def symbol(index):
        at, = struct.unpack_from("<I", table, index * 24)
        return strings[at:strings.index(b"\0", at)].decode()

    found, info, at = {}, by_name.get(".nv.info", b""), 0
    while at + 4 <= len(info):
        form, attribute, size = struct.unpack_from("<BBH", info, at)
        if form == 4 and attribute in (REGISTERS, FRAME):
            index, value = struct.unpack_from("<II", info, at + 4)
            found.setdefault(symbol(index), [0, 0])[attribute == FRAME] = value
        at += 4 + (size if form == 4 else 0)
    return {name: f for name, f in found.items() if ".text." + name in by_name}


def bodies(ptx):
    """{mangled kernel: its PTX}"""
    entry = re.compile(r"^\.(?:visible |weak )?\.?entry (\w+)\((.*?)^}", re.M | re.S)
    return {m[1]: m[2] for m in entry.finditer(ptx.read_text())}


def machine_bodies(nvdisasm, cubin):
    """{mangled kernel: its SASS}"""
    text = subprocess.run([nvdisasm, "-c", cubin], text=True, capture_output=True,
                          check=True).stdout
    parts = re.split(r"^\.text\.(\w+):$", text, flags=re.M)
    return dict(zip(parts[1::2], parts[2::2]))


def wanted_of(row, name, architecture):
    wanted = row[2] + (DEPENDENT_LAUNCH if architecture >= 90 else [])
    return wanted + [FP8] if architecture >= 89 and re.search(FP8_KERNELS, name) else wanted


# machine: SASS, or None.
def faults_of(name, architecture, registers, local, code, machine):
    row = next((r for r in KERNELS if re.search(r[0], name)), None)
    if row is None:
        yield "no row in the table of scripts/check_cuda_code.py"
        return
    if registers > row[1]:
        yield f"{registers} registers, at most {row[1]}"
    if local or re.search(FORBIDDEN, code):
        yield f"{local} bytes of local memory: spills, or an array that is indexed at run time"
    for pattern in wanted_of(row, name, architecture):
        if not re.search(pattern, code):
            yield f"no instruction {pattern}"
        if machine is not None and not re.search(MACHINE.get(pattern, ""), machine):
            yield f"no machine instruction {MACHINE[pattern]}"
    if machine is not None and re.search(MACHINE_FORBIDDEN, machine):
        yield "the machine code loads or stores local memory"


# FILE.compute_80.sm_86.cubin was assembled from FILE.compute_80.ptx; where there is but one of
# either, its name leaves it out.
def architecture_of(cubin):
    return int(re.findall(r"(?:compute|sm)_(\d+)", cubin.name)[-1])


def ptx_of(cubin):
    beside = cubin.with_suffix(".ptx")
    return beside if beside.exists() else cubin.with_suffix("").with_suffix(".ptx")


def print_table(table):
    architectures = sorted({a for row in table.values() for a in row})

    def cell(found):
        registers, local = found
        return f"{registers} +{local}" if local else str(registers)

    print("registers, and bytes of local memory".ljust(72),
          *(f"sm_{a}".rjust(8) for a in architectures))
    for name, row in sorted(table.items()):
        print(name[:72].ljust(72),
              *((cell(row[a]) if a in row else "-").rjust(8) for a in architectures))


def main():
    arguments = [a for a in sys.argv[1:] if not a.startswith("--")]
    root = Path(__file__).resolve().parent.parent
    code = Path(arguments[0]) if arguments else root / "build/release/kernels/cuda/code"
    if not code.is_dir():
        print("cuda code: skipped: no nvcc")
        return 0
    cubins = sorted(code.glob("*.cubin"))
    if not cubins:
        print(f"cuda code: nothing in {code}: was it nvcc that made the objects?")
        return 1
    nvdisasm = shutil.which("nvdisasm") or shutil.which("/usr/local/cuda/bin/nvdisasm")
    table, faults = {}, 0
    for cubin in cubins:
        architecture = architecture_of(cubin)
        ptx, found = bodies(ptx_of(cubin)), resources(cubin)
        machine = machine_bodies(nvdisasm, cubin) if nvdisasm else None
        for mangled, name in zip(found, demangled(found)):
            table.setdefault(name, {})[architecture] = found[mangled]
            for fault in faults_of(name, architecture, *found[mangled], ptx[mangled],
                                   machine and machine.get(mangled, "")):
                faults += 1
                print(f"sm_{architecture} {name}: {fault}")
    if "--list" in sys.argv:
        print_table(table)
    architectures = sorted({a for row in table.values() for a in row})
    print(f"cuda code: {len(table)} kernels for {', '.join(f'sm_{a}' for a in architectures)}, "
          f"{faults} faults" + ("" if nvdisasm else " (SASS not read: no nvdisasm)"))
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
