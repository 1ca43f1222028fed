#!/usr/bin/env python3
"""What torch reaches on this GPU for the shapes of hone's benchmarks, as lines of JSON: cuBLAS
products of 1 and 16 tokens, scaled-dot-product attention, and a Llama of random weights decoded
with torch.compile and a static cache. Every figure is the median of CUDA graph replays over
rotated inputs, so that nothing stays in the L2 cache."""
import argparse
import json
import time

import torch
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel
from triton.testing import do_bench

# Rows and columns of the products of tests/bench/cuda_matvec_bench.cu.
SHAPES = [(6144, 4096), (4096, 4096), (28672, 4096), (4096, 14336), (128256, 4096),
          (3072, 2048), (2048, 2048), (16384, 2048), (2048, 8192)]


def say(**row):
    print(json.dumps(row), flush=True)


def replayed(body, calls):
    """Milliseconds of one of `calls` calls in a graph."""
    body()
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        body()
    return do_bench(graph.replay, warmup=10, rep=60, return_mode="median") / calls


def products(tokens):
    for rows, columns in SHAPES:
        copies = max(2, int(4e8 // (rows * columns * 2)) + 1)
        weights = [torch.randn(rows, columns, device="cuda", dtype=torch.bfloat16)
                   for _ in range(copies)]
        x = torch.randn(tokens, columns, device="cuda", dtype=torch.bfloat16)
        out = torch.empty(tokens, rows, device="cuda", dtype=torch.bfloat16)
        ms = replayed(lambda: [torch.matmul(x, w.t(), out=out) for w in weights], copies)
        say(peer="cuBLAS bf16", what="product", tokens=tokens, rows=rows, columns=columns,
            us=1e3 * ms, gb_per_s=rows * columns * 2 / ms / 1e6)


def by_the_fastest(milliseconds):
    """What the fastest of SDPA's backends takes, and its name."""
    found = []
    for backend in (SDPBackend.FLASH_ATTENTION, SDPBackend.CUDNN_ATTENTION,
                    SDPBackend.EFFICIENT_ATTENTION):
        try:
            with sdpa_kernel(backend):
                found.append((milliseconds(), backend.name))
        except RuntimeError:  # not for this shape
            pass
    return min(found)


def decode_attention(length):
    copies = max(2, int(3e8 // (8 * length * 128 * 4)) + 1)
    q = torch.randn(1, 32, 1, 128, device="cuda", dtype=torch.bfloat16)
    pairs = [torch.randn(2, 1, 8, length, 128, device="cuda", dtype=torch.bfloat16)
             for _ in range(copies)]
    ms, backend = by_the_fastest(lambda: replayed(
        lambda: [F.scaled_dot_product_attention(q, p[0], p[1], enable_gqa=True) for p in pairs],
        copies))
    say(peer="torch SDPA", what="attention of one token", length=length, backend=backend, us=1e3 * ms,
        gb_per_s=8 * length * 128 * 4 / ms / 1e6)


def prefill_attention(length):
    q = torch.randn(1, 32, length, 128, device="cuda", dtype=torch.bfloat16)
    k = torch.randn(1, 8, length, 128, device="cuda", dtype=torch.bfloat16)
    v = torch.randn_like(k)
    ms, backend = by_the_fastest(lambda: do_bench(
        lambda: F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True),
        return_mode="median"))
    say(peer="torch SDPA", what="causal prefill", length=length, backend=backend, us=1e3 * ms,
        tflop_per_s=2 * 32 * length * length * 128 / ms / 1e9)


def compiled_decode(name, hidden, ffn, layers, heads, kv_heads, vocab, tokens=64):
    from transformers import LlamaConfig, LlamaForCausalLM, StaticCache
    config = LlamaConfig(hidden_size=hidden, intermediate_size=ffn, num_hidden_layers=layers,
                         num_attention_heads=heads, num_key_value_heads=kv_heads, vocab_size=vocab,
                         max_position_embeddings=4096)
    torch.set_default_dtype(torch.bfloat16)
    with torch.device("cuda"):
        model = LlamaForCausalLM(config).eval()
    torch.set_default_dtype(torch.float32)
    cache = StaticCache(config=config, max_cache_len=512)
    step = torch.compile(model.forward, mode="reduce-overhead", fullgraph=True)
    ids = torch.zeros(1, 1, dtype=torch.long, device="cuda")

    def run(position):
        at = torch.tensor([position], device="cuda")
        out = step(input_ids=ids, cache_position=at, past_key_values=cache, use_cache=True)
        return out.logits[:, -1].argmax(-1)

    with torch.no_grad():
        for position in range(8):
            run(position)
        torch.cuda.synchronize()
        start = time.perf_counter()
        for position in range(8, 8 + tokens):
            run(position)
        torch.cuda.synchronize()
    say(peer="torch.compile, static cache", what="decode", model=name,
        tokens_per_s=tokens / (time.perf_counter() - start))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    quick = parser.parse_args().quick
    say(torch=torch.__version__, device=torch.cuda.get_device_name())
    for tokens in (1,) if quick else (1, 16):
        products(tokens)
    for attention, lengths in ((decode_attention, (2048, 8192, 32768)),
                               (prefill_attention, (2048, 8192))):
        for length in lengths:
            try:
                attention(length)
            except (RuntimeError, ValueError) as error:  # what cannot run is a fact, not a failure
                say(peer="torch SDPA", length=length, error=str(error)[:200])
    a = torch.randn(2048, 4096, device="cuda", dtype=torch.bfloat16)
    b = torch.randn(28672, 4096, device="cuda", dtype=torch.bfloat16)
    ms = do_bench(lambda: a @ b.t(), return_mode="median")
    say(peer="cuBLAS bf16", what="product", tokens=2048, rows=28672, columns=4096,
        tflop_per_s=2 * 2048 * 28672 * 4096 / ms / 1e9)
    if not quick:
        for shape in (("llama-3.2-1b", 2048, 8192, 16, 32, 8, 128256),
                      ("llama-3.1-8b", 4096, 14336, 32, 32, 8, 128256)):
            try:
                compiled_decode(*shape)
            except Exception as error:
                say(peer="torch.compile, static cache", model=shape[0], error=str(error)[:200])


if __name__ == "__main__":
    main()
