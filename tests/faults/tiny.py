"""The smallest model there is, so that every byte of its header can be broken: a llama of one layer
with 16 ids, written as a Hugging Face directory."""
import json
import struct

HIDDEN, FFN, VOCABULARY = 8, 8, 16

CONFIG = {
    "architectures": ["LlamaForCausalLM"], "model_type": "llama", "vocab_size": VOCABULARY,
    "hidden_size": HIDDEN, "intermediate_size": FFN, "num_hidden_layers": 1,
    "num_attention_heads": 1, "num_key_value_heads": 1, "max_position_embeddings": 64,
    "rms_norm_eps": 1e-5, "rope_theta": 10000.0, "hidden_act": "silu",
    "tie_word_embeddings": False, "torch_dtype": "float32",
}


def shapes():
    layer = "model.layers.0."
    yield "model.embed_tokens.weight", [VOCABULARY, HIDDEN]
    yield layer + "input_layernorm.weight", [HIDDEN]
    for name in "qkvo":
        yield f"{layer}self_attn.{name}_proj.weight", [HIDDEN, HIDDEN]
    yield layer + "post_attention_layernorm.weight", [HIDDEN]
    yield layer + "mlp.gate_proj.weight", [FFN, HIDDEN]
    yield layer + "mlp.up_proj.weight", [FFN, HIDDEN]
    yield layer + "mlp.down_proj.weight", [HIDDEN, FFN]
    yield "model.norm.weight", [HIDDEN]
    yield "lm_head.weight", [VOCABULARY, HIDDEN]


def weights():
    """The bytes of model.safetensors."""
    header, data, state = {}, b"", 1
    for name, shape in shapes():
        count = shape[0] * (shape[1] if len(shape) == 2 else 1)
        values = []
        for _ in range(count):
            state = state * 1103515245 + 12345 & 0x7FFFFFFF
            values.append(state / 0x7FFFFFFF - 0.5)
        begin = len(data)
        data += struct.pack(f"<{count}f", *values)
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [begin, len(data)]}
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def write(directory):
    directory.mkdir()
    (directory / "config.json").write_text(json.dumps(CONFIG))
    (directory / "model.safetensors").write_bytes(weights())
