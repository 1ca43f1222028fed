#!/usr/bin/env python3
"""Do others read what hone writes? Hugging Face transformers (through compressed-tensors) and the gguf package are the judges.

  check_interop.py [--bin build/release/bin] [--model testdata/storyteller] [--keep DIR]

compressed-tensors: hone-quantize writes a directory, transformers loads it and computes in float32, and the logits of three
prompts must agree with those of hone-generate on the same directory.
GGUF: every tensor of the file as the gguf package dequantizes it must equal, bit for bit, what hone itself reads from the file;
and its bytes must equal those the package's own quantizer makes of the source weights.

Needs scripts/requirements.txt. Exit status 1 when anything fails.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

os.environ["TQDM_DISABLE"] = "1"  # the libraries draw progress bars
ROOT = Path(__file__).resolve().parent.parent
PROMPT_LENGTHS = (1, 12, 100)

# Largest difference of a logit, divided by the standard deviation of the logits. Weight-only schemes differ by the order of
# additions. With quantized activations a rounding tie may fall the other way, which moves a product by one step of 1/127
# (int8) or of 1/16 (fp8, three bits of mantissa).
TOLERANCE = {"w4a16": 0.005, "w8a16": 0.005, "w8a8": 0.05, "fp8": 0.10}
GGUF_SCHEMES = {"q8_0": "Q8_0", "q4_0": "Q4_0", "q4_1": "Q4_1", "f16": "F16", "bf16": "BF16", "f32": "F32"}


class Report:
    def __init__(self):
        self.passed = self.failed = 0

    def row(self, ok, what, fact):
        self.passed, self.failed = self.passed + ok, self.failed + (not ok)
        print(f"{'ok  ' if ok else 'FAIL'}  {what:<28} {fact}", flush=True)

    def end(self):
        print(f"{self.passed} passed, {self.failed} failed")
        return 1 if self.failed or not self.passed else 0


def run(*command):
    done = subprocess.run([str(c) for c in command], stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{' '.join(map(str, command))}: status {done.returncode}: {done.stderr.strip()[-300:]}")
    return done.stdout


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bin", type=Path, default=ROOT / "build/release/bin", help="directory of the built programs")
    parser.add_argument("--model", type=Path, default=ROOT / "testdata/storyteller", help="a Hugging Face directory")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="leave what was written in DIR")
    args = parser.parse_args()
    report = Report()
    with tempfile.TemporaryDirectory() as scratch:
        out = args.keep or Path(scratch)
        out.mkdir(parents=True, exist_ok=True)
        attempt(report, "unquantized", check_logits, args, None, out)
        for scheme in TOLERANCE:
            attempt(report, scheme, check_logits, args, scheme, out)
        attempt(report, "w4a16-asym", check_decompressed, args, "w4a16-asym", out)
        for scheme in GGUF_SCHEMES:
            attempt(report, scheme, check_gguf, args, scheme, out)
    sys.exit(report.end())


def attempt(report, name, check, *arguments):
    """A check that breaks is a failure of that check, and the next one still runs."""
    try:
        check(report, *arguments)
    except Exception as error:  # noqa: BLE001
        report.row(False, name, f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}")


# ---- compressed-tensors -------------------------------------------------------------------------------------------

def check_logits(report, args, scheme, out):
    """transformers and hone-generate on the same directory; without a scheme on the source model, which tests this script."""
    import torch
    directory = args.model
    if scheme:
        directory = out / scheme
        run(args.bin / "hone-quantize", args.model, "--scheme", scheme, "-o", directory)
        report.row(*quantized_modules(directory, scheme))
    torch.set_num_threads(1)
    model = load(directory)
    for ids in prompts(args.model):
        with torch.no_grad():
            official = model(torch.tensor([ids])).logits[0, -1].double()
        ours = json.loads(run(args.bin / "hone-generate", directory, "--token-ids", ",".join(map(str, ids)), "-n", 0, "--compute", "f32", "--json",
                              "--dump-logits"))["logits"]
        ours = torch.tensor(ours, dtype=torch.float64)
        if ours.shape != official.shape:
            report.row(False, scheme, f"{len(ours)} logits, transformers has {len(official)}")
            continue
        difference = ((ours - official).abs().max() / official.std()).item()  # NaN fails: it is not below the tolerance
        allowed = TOLERANCE.get(scheme, 0.005)
        report.row(difference <= allowed, f"{scheme or 'unquantized'}, {len(ids)} tokens",
                   f"largest difference {difference:.5f} of a standard deviation, allowed {allowed}")


def check_decompressed(report, args, scheme, out):
    """Every matrix as the library's own decompressor reads it equals what hone reads. For zero points this stands in for loading
    in transformers: compressed-tensors 0.20 expects them unpacked there, unlike what its own compressor writes."""
    import torch
    from compressed_tensors.compressors.pack_quantized.base import PackedQuantizationCompressor
    from compressed_tensors.quantization import QuantizationScheme
    directory, plain = out / scheme, out / f"{scheme}-f32"
    run(args.bin / "hone-quantize", args.model, "--scheme", scheme, "-o", directory)
    run(args.bin / "hone-quantize", directory, "--scheme", "f32", "-o", plain)
    group = json.loads((directory / "config.json").read_text())["quantization_config"]["config_groups"]["group_0"]
    rule = QuantizationScheme.model_validate({k: v for k, v in group.items() if v is not None})
    stored, ours = tensors_of(directory), tensors_of(plain)
    differ = []
    modules = [n.removesuffix(".weight_packed") for n in stored if n.endswith(".weight_packed")]
    for module in modules:
        parts = {n.removeprefix(module + "."): t for n, t in stored.items() if n.startswith(module + ".")}
        parts["weight_scale"] = parts["weight_scale"].float()
        official = PackedQuantizationCompressor.decompress(parts, rule)["weight"]
        if not torch.equal(official, ours[module + ".weight"]):
            differ.append(module)
    report.row(bool(modules) and not differ, f"{scheme}, decompressed", f"{len(modules)} matrices; differ: {differ}")


def load(directory):
    import torch
    import transformers
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    model, info = transformers.AutoModelForCausalLM.from_pretrained(directory, dtype=torch.float32, output_loading_info=True)
    strange = {k: sorted(map(str, v)) for k, v in info.items() if v}
    if strange:
        raise RuntimeError(f"transformers reports {strange}")
    return model.eval()


def prompts(directory):
    """Held-out text where the model has some, else a fixed walk through the vocabulary."""
    text = directory / "heldout.txt"
    if text.exists():
        from tokenizers import Tokenizer
        ids = Tokenizer.from_file(str(directory / "tokenizer.json")).encode(text.read_text()[:4000]).ids
    else:
        vocab = json.loads((directory / "config.json").read_text())["vocab_size"]
        ids = [(7919 * i + 5) % vocab for i in range(200)]
    return [ids[:length] for length in PROMPT_LENGTHS]


def quantized_modules(directory, scheme):
    """The config says compressed-tensors, and every linear layer but the head is stored quantized."""
    config = json.loads((directory / "config.json").read_text()).get("quantization_config", {})
    stored = tensors_of(directory)
    quantized = sorted(n for n in stored if n.endswith(".weight_scale"))
    plain = sorted(n for n in stored if re.search(r"_proj\.weight$", n) and n + "_scale" not in stored)
    ok = config.get("quant_method") == "compressed-tensors" and bool(quantized) and not plain
    return ok, f"{scheme}, stored form", f"{config.get('format')}, {len(quantized)} quantized layers, {len(plain)} left plain"


def tensors_of(directory):
    """name -> tensor over all shards; names that start with hone. are never weights."""
    from safetensors.torch import load_file
    files = sorted(Path(directory).glob("*.safetensors"))
    if not files:
        raise RuntimeError(f"{directory}: no safetensors file")
    return {n: t for f in files for n, t in load_file(f).items() if not n.startswith("hone.")}


# ---- GGUF ---------------------------------------------------------------------------------------------------------

LLAMA_NAMES = {
    "token_embd.weight": "model.embed_tokens.weight", "output_norm.weight": "model.norm.weight", "output.weight": "lm_head.weight",
    "attn_norm": "input_layernorm", "attn_q": "self_attn.q_proj", "attn_k": "self_attn.k_proj", "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj", "attn_q_norm": "self_attn.q_norm", "attn_k_norm": "self_attn.k_norm",
    "ffn_norm": "post_attention_layernorm", "ffn_gate": "mlp.gate_proj", "ffn_up": "mlp.up_proj", "ffn_down": "mlp.down_proj",
}
GENERATED = {"rope_freqs.weight"}  # in the GGUF file only
PERMUTED = ("attn_q", "attn_k")  # arch llama: rows of a head interleaved for ggml's rotation


def official_name(name):
    if name in LLAMA_NAMES:
        return LLAMA_NAMES[name]
    layer, part, kind = re.fullmatch(r"blk\.(\d+)\.(\w+)\.(weight|bias)", name).groups()
    return f"model.layers.{layer}.{LLAMA_NAMES[part]}.{kind}"


def permute(rows, heads):
    """Hugging Face order -> ggml order: row 2j+p of a head comes from row p*(head_dim/2) + j."""
    return rows.reshape(heads, 2, -1, *rows.shape[1:]).swapaxes(1, 2).reshape(rows.shape)


def unpermute(rows, heads):
    return rows.reshape(heads, -1, 2, *rows.shape[1:]).swapaxes(1, 2).reshape(rows.shape)


def heads_of(name, config):
    """Heads whose rows were interleaved, or 0."""
    part = name.split(".")[2] if name.startswith("blk.") else ""
    if config["model_type"] not in ("llama", "mistral") or part not in PERMUTED:
        return 0
    heads = config["num_attention_heads"]
    return heads if part == "attn_q" else config.get("num_key_value_heads") or heads


def check_gguf(report, args, scheme, out):
    import gguf
    file, back = out / f"{scheme}.gguf", out / f"{scheme}-back"
    run(args.bin / "hone-quantize", args.model, "--scheme", scheme, "-o", file)
    run(args.bin / "hone-quantize", file, "--scheme", "f32", "-o", back)
    reader = gguf.GGUFReader(file)
    config = json.loads((args.model / "config.json").read_text())
    ours, source = tensors_of(back), tensors_of(args.model)
    report.row(*keys_of(reader, scheme, config))
    read, made, types = [], [], {}
    tensors = [t for t in reader.tensors if t.name not in GENERATED]
    for tensor in tensors:
        types[tensor.tensor_type.name] = types.get(tensor.tensor_type.name, 0) + 1
        name, heads = official_name(tensor.name), heads_of(tensor.name, config)
        read += differs_when_read(tensor, ours.get(name), heads)
        made += differs_from_quantizer(tensor, source.get(name, source["model.embed_tokens.weight"]), heads)
    used = GGUF_SCHEMES[scheme] in types
    summary = ", ".join(f"{n} {t}" for t, n in sorted(types.items()))
    missing = sorted(set(ours) - {official_name(t.name) for t in tensors} - {"lm_head.weight"})
    report.row(used and not read and not missing, f"{scheme}, read", f"{summary}; differ: {read[:3]}, not in the file: {missing[:3]}")
    report.row(used and not made, f"{scheme}, bytes", f"{len(tensors)} tensors; differ from the package's quantizer: {made[:3]}")


def keys_of(reader, scheme, config):
    """Keys that every reader needs."""
    field = {k: f.contents() for k, f in reader.fields.items()}
    arch = field.get("general.architecture")
    needed = [f"{arch}.{k}" for k in ("block_count", "context_length", "embedding_length", "attention.head_count")]
    missing = [k for k in needed + ["tokenizer.ggml.model", "tokenizer.ggml.tokens"] if k not in field]
    tokens = len(field.get("tokenizer.ggml.tokens", []))
    ok = not missing and tokens == config["vocab_size"] and field[needed[0]] == config["num_hidden_layers"]
    return ok, f"{scheme}, keys", f"{arch}, {len(field)} fields, {tokens} tokens, missing {missing}"


def differs_when_read(tensor, ours, heads):
    import gguf
    import numpy
    value = gguf.quants.dequantize(tensor.data, tensor.tensor_type).astype(numpy.float32)
    value = value.reshape([int(n) for n in reversed(tensor.shape)])
    value = unpermute(value, heads) if heads else value
    same = ours is not None and tuple(ours.shape) == value.shape and numpy.array_equal(ours.float().numpy(), value)
    return [] if same else [tensor.name]


def differs_from_quantizer(tensor, source, heads):
    import gguf
    import numpy
    value = source.float().numpy()
    value = permute(value, heads) if heads else value
    wanted = gguf.quants.quantize(value, tensor.tensor_type)
    return [] if numpy.array_equal(wanted.view(numpy.uint8).ravel(), tensor.data.view(numpy.uint8).ravel()) else [tensor.name]


if __name__ == "__main__":
    main()
