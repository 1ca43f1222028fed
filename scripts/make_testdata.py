#!/usr/bin/env python3
"""Make testdata/tiny-*, testdata/tokenizers and the small samples: random models and tokenizers with the official answers.

A tiny model has the shape of an architecture and random weights; `expected.json` holds what Hugging Face transformers computes
from exactly these weights in float64 (its norms, softmax and rotation angles stay float32). Everything is drawn from fixed
seeds. One row of MODELS is one model: to add an architecture, add a row.

  make_testdata.py                               make everything
  make_testdata.py --only tiny-llama tiny-gpt2   make some models
  make_testdata.py --tokenizer-strings 10000 --out DIR   a large comparison: DIR/<family>/vectors.jsonl
"""

import argparse
import collections
import json
import random
import shutil
from pathlib import Path

from make_trained_model import SEPARATOR, compact, story

ROOT = Path(__file__).resolve().parent.parent / "testdata"
LARGEST_DIRECTORY = 150_000  # bytes
SMALLEST_GAP = 3e-3  # between best and second logit of every greedy step, relative to the best
LEAST_VARIETY = 5  # different ids among the 16 greedy ones

# ---- models -------------------------------------------------------------------------------------------------------

LLAMA = {
    "architectures": ["LlamaForCausalLM"], "model_type": "llama", "vocab_size": 288, "hidden_size": 32,
    "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2,
    "max_position_embeddings": 64, "rms_norm_eps": 1e-5, "rope_theta": 10000.0, "rope_scaling": None, "hidden_act": "silu",
    "attention_bias": False, "mlp_bias": False, "tie_word_embeddings": True, "bos_token_id": 1, "eos_token_id": 2,
}
MISTRAL = {k: v for k, v in LLAMA.items() if k not in ("rope_scaling", "attention_bias", "mlp_bias")} | {
    "architectures": ["MistralForCausalLM"], "model_type": "mistral", "head_dim": 16, "sliding_window": 8,
    "tie_word_embeddings": False}
QWEN2 = {k: v for k, v in LLAMA.items() if k not in ("rope_scaling", "attention_bias", "mlp_bias")} | {
    "architectures": ["Qwen2ForCausalLM"], "model_type": "qwen2", "rms_norm_eps": 1e-6, "rope_theta": 1000000.0,
    "use_sliding_window": False, "sliding_window": 32, "max_window_layers": 2, "bos_token_id": 284, "eos_token_id": 286}
QWEN3 = QWEN2 | {"architectures": ["Qwen3ForCausalLM"], "model_type": "qwen3", "head_dim": 16, "attention_bias": False,
                 "rope_scaling": None, "sliding_window": None}
GPT2 = {
    "architectures": ["GPT2LMHeadModel"], "model_type": "gpt2", "vocab_size": 288, "n_embd": 32, "n_layer": 2, "n_head": 4,
    "n_positions": 64, "n_ctx": 64, "n_inner": None, "activation_function": "gelu_new", "layer_norm_epsilon": 1e-5,
    "tie_word_embeddings": True, "bos_token_id": 287, "eos_token_id": 287,
}
BLOOM = {
    "architectures": ["BloomForCausalLM"], "model_type": "bloom", "vocab_size": 288, "hidden_size": 40, "n_layer": 2,
    "n_head": 5, "seq_length": 64, "layer_norm_epsilon": 1e-5, "apply_residual_connection_post_layernorm": False,
    "hidden_dropout": 0.0, "attention_dropout": 0.0, "pretraining_tp": 1, "slow_but_exact": False, "bias_dropout_fusion": True,
    "unk_token_id": 0, "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 3, "tie_word_embeddings": True,
}


def scaled(**scaling):
    return {"rope_scaling": scaling}


UNSCALED = {"rope_scaling": None}


# name, base configuration, changes, tokenizer, stored type, and: shards; strip (a prefix the stored names lack); without (changes
# that must alter the logits, so that a reader that ignores the field is found out)
MODELS = [
    ("llama", LLAMA, {"tie_word_embeddings": False, "intermediate_size": 32}, "llama2", "float32", {}),
    ("llama3", LLAMA, {"head_dim": 16, "vocab_size": 320, "bos_token_id": 316, "eos_token_id": 317} | scaled(
        rope_type="llama3", factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0, original_max_position_embeddings=32),
     "llama3", "bfloat16", {"without": UNSCALED}),
    ("llama-linear", LLAMA, scaled(type="linear", factor=4.0), "llama2", "float16", {"without": UNSCALED}),
    ("llama-dynamic", LLAMA, {"max_position_embeddings": 32} | scaled(rope_type="dynamic", factor=2.0), "llama2", "float32",
     {"without": UNSCALED}),
    ("llama-yarn", LLAMA, {"head_dim": 16} | scaled(rope_type="yarn", factor=4.0, original_max_position_embeddings=16),
     "llama2", "bfloat16", {"without": UNSCALED}),
    ("llama-bf16", LLAMA, {"hidden_size": 64, "intermediate_size": 32}, "llama2", "bfloat16", {"shards": 3}),
    ("mistral", MISTRAL, {}, "llama2", "bfloat16", {"without": {"sliding_window": None}}),
    ("qwen2", QWEN2, {}, "qwen2", "float32", {}),
    ("qwen3", QWEN3, {}, "qwen2", "bfloat16", {}),
    ("gpt2", GPT2, {}, "gpt2", "float16", {}),
    ("gpt2-noprefix", GPT2, {"n_inner": 64}, "gpt2", "float16", {"strip": "transformer.", "masks": True}),
    ("bloom", BLOOM, {}, "bloom", "float16", {"strip": "transformer."}),
]


def random_weight(name, shape, generator):
    """Norms near 1, biases of some size, matrices that keep the variance; a head or embedding that gives logits of std ~2."""
    import torch
    draw = torch.randn(shape, generator=generator, dtype=torch.float64)
    norm = any(part in name for part in ("norm", "ln_"))
    if norm and name.endswith("weight"):
        return 1 + 0.25 * draw
    if name.endswith("bias"):
        return 0.2 * draw
    if "wpe" in name:
        return 0.3 * draw
    if any(part in name for part in ("embed", "wte", "lm_head")):
        return 2.0 * draw / shape[1] ** 0.5
    fan_in = shape[0] if name.rsplit(".", 2)[-2] in ("c_attn", "c_proj", "c_fc") else shape[1]
    sharp = 1.6 if any(part in name for part in ("q_proj", "k_proj", "c_attn", "query_key_value")) else 1.1
    if ".dense" in name:  # BLOOM's first norm makes the embedding loud, and a loud embedding repeats itself
        sharp = 2.5
    return sharp * draw / fan_in ** 0.5


def stored_tensors(config, seed, stored_type, extra):
    import torch
    from transformers import AutoModelForCausalLM
    model = AutoModelForCausalLM.from_config(config)
    generator = torch.Generator().manual_seed(seed)
    tensors = {}
    for name, value in model.state_dict().items():
        if name == "lm_head.weight" and config.tie_word_embeddings:
            continue
        stored = name.removeprefix(extra.get("strip", ""))
        tensors[stored] = random_weight(name, value.shape, generator).to(getattr(torch, stored_type)).contiguous()
    if extra.get("masks"):  # files of OpenAI's GPT-2 carry the causal mask; readers skip it
        for layer in range(config.n_layer):
            tensors[f"h.{layer}.attn.bias"] = torch.ones(64, 64).tril().reshape(1, 1, 64, 64)
    return tensors


def write_weights(out, tensors, shards):
    from safetensors.torch import save_file
    if shards == 1:
        save_file(tensors, out / "model.safetensors", metadata={"format": "pt"})
        return
    names, weight_map = list(tensors), {}
    for shard in range(shards):
        part = names[shard * len(names) // shards:(shard + 1) * len(names) // shards]
        file = f"model-{shard + 1:05}-of-{shards:05}.safetensors"
        save_file({n: tensors[n] for n in part}, out / file, metadata={"format": "pt"})
        weight_map.update({n: file for n in part})
    total = sum(t.numel() * t.element_size() for t in tensors.values())
    index = {"metadata": {"total_size": total}, "weight_map": dict(sorted(weight_map.items()))}
    (out / "model.safetensors.index.json").write_text(json.dumps(index, indent=2) + "\n")


def load(directory):
    import torch
    from transformers import AutoModelForCausalLM
    return AutoModelForCausalLM.from_pretrained(directory, dtype=torch.float64, attn_implementation="eager").eval()


def logits_of(model, ids):
    """Logits of every position. Dynamic RoPE keeps the base of the longest sequence so far: one token alone resets it."""
    import torch
    model(input_ids=torch.tensor([ids[:1]]), use_cache=False)
    return model(input_ids=torch.tensor([ids]), use_cache=False).logits[0]


def greedy(model, ids, count):
    """Greedy ids by whole forward passes, and the smallest relative gap between the best two logits."""
    out, gap = [], 1.0
    for _ in range(count):
        best = logits_of(model, ids + out)[-1].topk(2)
        gap = min(gap, float((best.values[0] - best.values[1]) / best.values[0].abs()))
        out.append(int(best.indices[0]))
    return out, gap


def answers(model, name):
    """Three prompts with logits and greedy ids; None where a greedy step is nearly tied, meets a special id or gets into a rut."""
    import torch
    rng = random.Random(f"prompts of {name}")
    vocab, special = model.config.vocab_size, {model.config.bos_token_id, model.config.eos_token_id}
    prompts = []
    for length in (1, 12, 40):
        ids = [rng.choice([i for i in range(3, vocab) if i not in special]) for _ in range(length)]
        out, gap = greedy(model, ids, 16)
        logits = logits_of(model, ids)
        logits_of(model, ids[:1])
        cached = model.generate(torch.tensor([ids]), max_new_tokens=16, do_sample=False, pad_token_id=0)[0].tolist()
        if gap < SMALLEST_GAP or special & set(out) or len(set(out)) < LEAST_VARIETY or cached != ids + out:
            return None  # cached: the steps with a key-value cache agree with whole forward passes
        rounded = [[float(f"{v:.7g}") for v in row.tolist()] for row in (logits[-1], logits[0])]
        prompts.append({"ids": ids, "logits_last": rounded[0], "logits_first": rounded[1], "greedy": out})
        assert 1 < logits[-1].std() < 4, f"{name}: logits of std {logits[-1].std():.2f}"
    return prompts


def check_matters(directory, prompts, changes):
    """The same weights read with another config.json must give other logits."""
    import torch
    other = directory.parent / f".{directory.name}-changed"
    shutil.copytree(directory, other, dirs_exist_ok=True)
    (other / "config.json").write_text(json.dumps(json.loads((directory / "config.json").read_text()) | changes))
    logits = logits_of(load(other), prompts[-1]["ids"])[-1]
    shutil.rmtree(other)
    change = (logits - torch.tensor(prompts[-1]["logits_last"])).abs().max()
    assert change > 0.1, f"{directory.name}: {changes} changes nothing"


def make_model(row):
    import transformers
    name, base, changes, family, stored_type, extra = row
    out = ROOT / f"tiny-{name}"
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    config = base | changes | {"torch_dtype": stored_type}
    (out / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    write_tokenizer(out / "tokenizer.json", make_tokenizer(family, config["vocab_size"]))
    for seed in range(1000):
        tensors = stored_tensors(transformers.AutoConfig.from_pretrained(out), seed, stored_type, extra)
        write_weights(out, tensors, extra.get("shards", 1))
        prompts = answers(load(out), name)
        if prompts:
            break
    else:
        raise SystemExit(f"{name}: no seed gives clear greedy steps")
    (out / "expected.json").write_text(compact({"transformers": transformers.__version__, "prompts": prompts}))
    if "without" in extra:
        check_matters(out, prompts, extra["without"])
    size = sum(f.stat().st_size for f in out.iterdir())
    assert size < LARGEST_DIRECTORY, f"{name}: {size} bytes"
    weights = sum(t.numel() for t in tensors.values())
    print(f"tiny-{name}: seed {seed}, {weights} weights, {size} bytes", flush=True)


# ---- tokenizers ---------------------------------------------------------------------------------------------------

GPT2_SPLIT = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
LLAMA3_SPLIT = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"
                r"|\s+(?!\S)|\s+")
QWEN2_SPLIT = LLAMA3_SPLIT.replace(r"\p{N}{1,3}", r"\p{N}")
BLOOM_SPLIT = " ?[^(\\s|[.,!?…。，、।۔،])]+"


def split_then_bytes(expression):
    return {"type": "Sequence", "pretokenizers": [
        {"type": "Split", "pattern": {"Regex": expression}, "behavior": "Isolated", "invert": False}, byte_level(False)]}


def byte_level(use_regex):
    return {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": use_regex}


def template(bos, id):
    def piece(kind, name, type_id=0):
        return {kind: {"id": name, "type_id": type_id}}
    return {"type": "TemplateProcessing", "single": [piece("SpecialToken", bos), piece("Sequence", "A")],
            "pair": [piece("SpecialToken", bos), piece("Sequence", "A"), piece("SpecialToken", bos, 1), piece("Sequence", "B", 1)],
            "special_tokens": {bos: {"id": bos, "ids": [id], "tokens": [bos]}}}


def token(content, special=True, **flags):
    return {"content": content, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False,
            "special": special} | flags


PREPEND = {"type": "Sequence", "normalizers": [
    {"type": "Prepend", "prepend": "▁"}, {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}]}
PIECE_DECODER = {"type": "Sequence", "decoders": [
    {"type": "Replace", "pattern": {"String": "▁"}, "content": " "}, {"type": "ByteFallback"}, {"type": "Fuse"},
    {"type": "Strip", "content": " ", "start": 1, "stop": 0}]}


def metaspace(scheme, split):
    return {"type": "Metaspace", "replacement": "▁", "prepend_scheme": scheme, "split": split}


LLAMA2_SPECIALS = [token("<unk>"), token("<s>"), token("</s>")]
# Each family: kind (pieces or bytes), specials and where they stand, the parts of its tokenizer.json
FAMILIES = {
    "gpt2": {"kind": "bytes", "last": [token("<|endoftext|>", normalized=True)], "old_merges": True,
             "pre_tokenizer": byte_level(True), "post_processor": byte_level(True)},
    "llama3": {"kind": "bytes", "last": [token(t) for t in ("<|begin_of_text|>", "<|end_of_text|>", "<|start_header_id|>",
                                                            "<|eot_id|>")],
               "pre_tokenizer": split_then_bytes(LLAMA3_SPLIT), "bos": "<|begin_of_text|>", "ignore_merges": True},
    "qwen2": {"kind": "bytes", "last": [token(t) for t in ("<|endoftext|>", "<|im_start|>", "<|im_end|>")] + [
        token("<tool_call>", special=False)], "normalizer": {"type": "NFC"}, "pre_tokenizer": split_then_bytes(QWEN2_SPLIT),
        "post_processor": byte_level(False)},
    "bloom": {"kind": "bytes", "first": [token(t) for t in ("<unk>", "<s>", "</s>", "<pad>")],
              "pre_tokenizer": split_then_bytes(BLOOM_SPLIT), "post_processor": byte_level(False)},
    "llama2": {"kind": "pieces", "normalizer": PREPEND, "old_merges": True},
    "llama2-metaspace": {"kind": "pieces", "pre_tokenizer": metaspace("first", False)},
    "metaspace-always": {"kind": "pieces", "pre_tokenizer": metaspace("always", True), "byte_fallback": False},
    "added-tokens": {"kind": "bytes", "pre_tokenizer": byte_level(True), "post_processor": byte_level(True),
                     "normalizer": {"type": "Sequence", "normalizers": [{"type": "NFC"}, {"type": "Lowercase"}]},
                     "last": [token("<|end|>"), token("<mask>", lstrip=True), token("<|right|>", rstrip=True),
                              token("<|both|>", special=False, lstrip=True, rstrip=True),
                              token("WORD", special=False, single_word=True), token("<sep>", single_word=True, lstrip=True),
                              token("Once", special=False, normalized=True, single_word=True),
                              token("ÉTÉ", special=False, normalized=True), token("ab", special=False),
                              token("abc", special=False), token("bcd", special=False, normalized=True),
                              token("  ", special=False), token("\n\n", special=False, normalized=True)]},
}
MODEL_FAMILIES = ["gpt2", "llama3", "qwen2", "bloom", "llama2"]
FOLDER = {"llama2": "llama2-legacy"}
VECTOR_VOCAB = 900


def training_text():
    return [story("make_testdata", i) for i in range(60)] + [
        random_string(random.Random(f"train/{i}"), []).replace("<0x", "0x") for i in range(1500)] * 3


def frequent_characters(count):
    """Chosen here, since the trainer breaks ties by the order of a hash table."""
    seen = collections.Counter(c for text in training_text() for c in text.replace(" ", "▁"))
    return [c for c, _ in sorted(seen.items(), key=lambda item: (-item[1], item[0]))[:count]]


def learn(kind, size, normalizer):
    """Pieces and merges by the tokenizers library. Words are cut by the GPT-2 expression or at spaces."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers
    tokenizer = Tokenizer(models.BPE())
    if kind == "bytes":
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    else:
        tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
        alphabet = frequent_characters(max(12, min(size // 4, 160)))
    if normalizer and kind == "bytes":
        tokenizer.normalizer = normalizers.Sequence([normalizers.NFC()])
    trainer = trainers.BpeTrainer(vocab_size=size, initial_alphabet=alphabet, limit_alphabet=len(alphabet),
                                  show_progress=False, min_frequency=1)
    tokenizer.train_from_iterator(training_text(), trainer)
    model = json.loads(tokenizer.to_str())["model"]
    return sorted(model["vocab"], key=model["vocab"].get), [tuple(m) for m in model["merges"]]


def make_tokenizer(family, size):
    parts = FAMILIES[family]
    first, last = parts.get("first", []), parts.get("last", [])
    if parts["kind"] == "pieces":
        first = LLAMA2_SPECIALS
    bytes_first = [f"<0x{b:02X}>" for b in range(256)] if parts.get("byte_fallback", parts["kind"] == "pieces") else []
    whole = ["ĠOnceĠupon", "Ġwonderful!!", "123", "日本"] if parts.get("ignore_merges") and size > 400 else []
    whole = ["".join(byte_characters(w)) if w == "日本" else w for w in whole]
    pieces, merges = learn(parts["kind"], size - len(first) - len(last) - len(bytes_first) - len(whole), parts.get("normalizer"))
    names = [t["content"] for t in first] + bytes_first + pieces + whole
    appended = [t["content"] for t in last if t["content"] not in pieces]  # an added token may be a piece as well
    names += appended
    assert len(set(names)) == len(names) and len(names) + len(last) - len(appended) == size, (family, len(names))
    vocab = {name: i for i, name in enumerate(names)}
    added = [{"id": vocab[t["content"]]} | t for t in first + last]
    in_model = {n: i for n, i in vocab.items() if n not in appended}
    bos = parts.get("bos") or ("<s>" if parts["kind"] == "pieces" else None)
    unk = "<unk>" if parts["kind"] == "pieces" else None
    model = {"type": "BPE", "dropout": None, "unk_token": unk, "continuing_subword_prefix": None, "end_of_word_suffix": None,
             "fuse_unk": parts["kind"] == "pieces", "byte_fallback": bool(bytes_first),
             "ignore_merges": bool(parts.get("ignore_merges")), "vocab": in_model,
             "merges": [" ".join(m) for m in merges] if parts.get("old_merges") else [list(m) for m in merges]}
    return {"version": "1.0", "truncation": None, "padding": None, "added_tokens": added,
            "normalizer": parts.get("normalizer"), "pre_tokenizer": parts.get("pre_tokenizer"),
            "post_processor": parts.get("post_processor") or (template(bos, vocab[bos]) if bos else None),
            "decoder": byte_level(True) if parts["kind"] == "bytes" else PIECE_DECODER, "model": model}


def byte_characters(text):
    """The ByteLevel alphabet: printable bytes are themselves, the other 68 follow from U+0100."""
    plain = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    other = [b for b in range(256) if b not in plain]
    return [chr(b) if b in plain else chr(0x100 + other.index(b)) for b in text.encode()]


def write_tokenizer(path, tokenizer):
    path.write_text(json.dumps(tokenizer, ensure_ascii=False, separators=(",", ":")) + "\n")


# ---- strings and vectors ------------------------------------------------------------------------------------------

SCRIPTS = [(0x41, 0x5A), (0x61, 0x7A), (0xC0, 0x17F), (0x370, 0x3CE), (0x400, 0x45F), (0x531, 0x556), (0x5D0, 0x5EA),
           (0x621, 0x64A), (0x905, 0x939), (0xE01, 0xE2E), (0x10D0, 0x10F0), (0x1E00, 0x1EFF), (0x3041, 0x3096),
           (0x30A1, 0x30FA), (0x4E00, 0x4E80), (0xAC00, 0xAC60), (0x1D400, 0x1D433), (0x20000, 0x20020)]
WORDS = ("the a Once upon time little girl kite don't I'VE we'll they're it's You'd ab abc abcd bcd WORD word WORDS ONCE été"
         " ÉTÉ naïve straße İstanbul ΣΊΣΥΦΟΣ дом дома 日本語 こんにちは 한국어 שלום مرحبا नमस्ते ไทย wonderful!! x=1; foo_bar hello,world").split(" ")
SPACES = [" ", "  ", "   ", "\t", "\n", "\n\n", "\r\n", " \n", "\n ", "\u00a0", "\u2003", "\u3000", "\u2028", "\u0085", "\v", "    "]
MARKS = ["\u0301", "\u0308", "\u0323", "\u0327", "\u20dd", "\u093e", "\u0e31", "\u3099", "\u1100\u1161\u11a8"]
EMOJI = ["😀", "👍🏽", "👩‍👩‍👧", "🇯🇵", "❤️", "1️⃣", "☕", "🏴‍☠️"]
ODD = ["\x00", "\x01", "\x1b[0m", "\x7f", "\u200b", "\u200d", "\ufeff", "\ufffd", "\ufffe", "\U0010ffff", "\ue000", "<0x41>",
       "<0xE6>", "▁", "▁▁a", "Ġ", "Ċx", "â€™", "Ã©", "##ing", "\\u0041", "%20", "ﬁ", "½²", "Å", "Å", "①", "…。，،।"]
PUNCTUATION = [".", ",", "!", "?", "...", "!!!", "(", ")", "(x|y)", "|", "--", "'", "\"", "'s", "'S", "'re", "’s", "::", "#", "$5.00"]


def random_string(rng, specials):
    """A mixture of what tokenizers get wrong: spaces, marks, scripts, numbers, contractions, special tokens in the text."""
    def letters():
        low, high = rng.choice(SCRIPTS)
        return "".join(chr(rng.randint(low, high)) for _ in range(rng.randint(1, 4)))

    kinds = [(letters, 3), (lambda: rng.choice(WORDS), 7), (lambda: rng.choice(SPACES), 5), (lambda: " ", 8),
             (lambda: rng.choice(MARKS), 1), (lambda: rng.choice(EMOJI), 1), (lambda: rng.choice(ODD), 2),
             (lambda: rng.choice(PUNCTUATION), 3), (lambda: str(rng.randint(0, 10 ** rng.randint(1, 7))), 2)]
    if specials:
        kinds.append((lambda: rng.choice(specials), 3))
    makers, weights = zip(*kinds)
    count = rng.choice([1, 2, 3, 4, 5, 6, 8, 10])
    return "".join(maker() for maker in rng.choices(makers, weights, k=count))


def vectors(tokenizer_json, name, count):
    from tokenizers import Tokenizer
    tokenizer = Tokenizer.from_str(json.dumps(tokenizer_json))
    specials = [t["content"] for t in tokenizer_json["added_tokens"]]
    yield vector(tokenizer, "")
    for i in range(count - 1):
        yield vector(tokenizer, random_string(random.Random(f"{name}/{i}"), specials))


def vector(tokenizer, text):
    ids = tokenizer.encode(text).ids
    return {"text": text, "ids": ids, "ids_no_special": tokenizer.encode(text, add_special_tokens=False).ids,
            "decoded": tokenizer.decode(ids, skip_special_tokens=False),
            "decoded_skip_special": tokenizer.decode(ids, skip_special_tokens=True)}


def make_tokenizers(out, count):
    for family in FAMILIES:
        folder = out / FOLDER.get(family, family)
        folder.mkdir(parents=True, exist_ok=True)
        tokenizer = make_tokenizer(family, VECTOR_VOCAB)
        write_tokenizer(folder / "tokenizer.json", tokenizer)
        with open(folder / "vectors.jsonl", "w", encoding="utf-8", newline="\n") as file:
            for row in vectors(tokenizer, family, count):
                file.write(json.dumps(row, ensure_ascii=False, separators=(",", ":")) + "\n")
        print(f"tokenizers/{folder.name}: {sum(f.stat().st_size for f in folder.iterdir())} bytes", flush=True)


def make_text(out):
    """Stories of a seed of their own: calibration text for storyteller, disjoint from its training and held-out text."""
    out.mkdir(parents=True, exist_ok=True)
    text = f"\n{SEPARATOR}\n".join(story("calibration", i) for i in range(32)) + "\n"
    (out / "stories.txt").write_text(text)
    print(f"text/stories.txt: {len(text)} bytes")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", metavar="NAME", help="these models, or the words tokenizers and text")
    parser.add_argument("--tokenizer-strings", type=int, metavar="N", help="write N vectors per family to --out and stop")
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    if args.tokenizer_strings:
        make_tokenizers(args.out or parser.error("--tokenizer-strings needs --out"), args.tokenizer_strings)
        return
    if not args.only or "tokenizers" in args.only:
        make_tokenizers(ROOT / "tokenizers", 300)
    if not args.only or "text" in args.only:
        make_text(ROOT / "text")
    rows = [row for row in MODELS if not args.only or f"tiny-{row[0]}" in args.only]
    if rows:
        import torch
        import transformers
        torch.set_num_threads(1)
        transformers.logging.set_verbosity_error()
        transformers.logging.disable_progress_bar()
        with torch.no_grad():
            for row in rows:
                make_model(row)


if __name__ == "__main__":
    main()
