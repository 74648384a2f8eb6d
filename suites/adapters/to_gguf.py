"""Converts a Hugging Face folder of a small Gemma 4 or Qwen 3 model to GGUF: float32, no tokenizer. Standard library only.

    python3 suites/adapters/to_gguf.py suites/fixtures/models/gemma4-nano OUT.gguf [--goldens]

--goldens copies the folder's recorded answers beside it, so that suites that need them find them.
"""
import argparse
import json
import os
import shutil
import struct

U32, I32, F32, BOOL, STRING, ARRAY = 4, 5, 6, 7, 8, 9
FORMS = {U32: "I", I32: "i", F32: "f", BOOL: "?"}
F32_TENSOR, Q8_0_TENSOR, BF16_TENSOR = 0, 8, 30

TOP = {"model.embed_tokens.weight": "token_embd.weight", "model.norm.weight": "output_norm.weight",
       "lm_head.weight": "output.weight", "model.embed_tokens_per_layer.weight": "per_layer_token_embd.weight",
       "model.per_layer_model_projection.weight": "per_layer_model_proj.weight",
       "model.per_layer_projection_norm.weight": "per_layer_proj_norm.weight"}
LAYER = {"input_layernorm.weight": "attn_norm", "self_attn.q_proj.weight": "attn_q", "self_attn.k_proj.weight": "attn_k",
         "self_attn.v_proj.weight": "attn_v", "self_attn.o_proj.weight": "attn_output",
         "self_attn.q_norm.weight": "attn_q_norm", "self_attn.k_norm.weight": "attn_k_norm",
         "mlp.gate_proj.weight": "ffn_gate", "mlp.up_proj.weight": "ffn_up", "mlp.down_proj.weight": "ffn_down"}
FAMILIES = {
    "qwen3": {"post_attention_layernorm.weight": "ffn_norm"},
    "gemma4": {"post_attention_layernorm.weight": "post_attention_norm", "pre_feedforward_layernorm.weight": "ffn_norm",
               "post_feedforward_layernorm.weight": "post_ffw_norm", "layer_scalar": "layer_output_scale",
               "per_layer_input_gate.weight": "inp_gate", "per_layer_projection.weight": "proj",
               "post_per_layer_input_norm.weight": "post_norm"},
}


def tensors_of(path):
    with open(path, "rb") as file:
        size = struct.unpack("<Q", file.read(8))[0]
        header = json.loads(file.read(size))
        header.pop("__metadata__", None)
        for name, entry in header.items():
            begin, end = entry["data_offsets"]
            file.seek(8 + size + begin)
            yield name, entry["shape"], float32(file.read(end - begin), entry["dtype"], name)


def float32(data, dtype, name):
    if dtype == "F32":
        return data
    if dtype != "BF16":
        raise SystemExit(f"{name}: {dtype}: expected F32 or BF16")
    wide = bytearray(2 * len(data))  # a bfloat16 is the upper half of a float32
    wide[2::4], wide[3::4] = data[0::2], data[1::2]
    return bytes(wide)


def name_of(name, family):
    if name in TOP:
        return TOP[name]
    _, _, layer, rest = name.split(".", 3)
    return f"blk.{layer}.{({**LAYER, **FAMILIES[family]})[rest]}.weight"


def metadata(config, family):
    """Keys of GGUF in order: (key, type, value); a value that differs from layer to layer is a list."""
    c = config
    layers = c["num_hidden_layers"]
    yield "general.architecture", STRING, family
    keys = [("block_count", U32, layers), ("context_length", U32, c["max_position_embeddings"]),
            ("embedding_length", U32, c["hidden_size"]), ("feed_forward_length", U32, c["intermediate_size"]),
            ("attention.head_count", U32, c["num_attention_heads"]),
            ("attention.head_count_kv", U32, c["num_key_value_heads"]),
            ("attention.layer_norm_rms_epsilon", F32, c["rms_norm_eps"]), ("vocab_size", U32, c["vocab_size"])]
    if family == "qwen3":
        dim = c["head_dim"]
        keys += [("rope.freq_base", F32, c["rope_parameters"]["rope_theta"]), ("attention.key_length", U32, dim),
                 ("attention.value_length", U32, dim), ("rope.dimension_count", U32, dim)]
    else:
        full, local = full_head_dim(c), c["head_dim"]
        ropes = c["rope_parameters"]
        keys += [("rope.freq_base", F32, ropes["full_attention"]["rope_theta"]),
                 ("rope.freq_base_swa", F32, ropes["sliding_attention"]["rope_theta"]),
                 ("attention.key_length", U32, full), ("attention.value_length", U32, full),
                 ("attention.key_length_swa", U32, local), ("attention.value_length_swa", U32, local),
                 ("final_logit_softcapping", F32, c["final_logit_softcapping"]),
                 ("attention.sliding_window", U32, c["sliding_window"]),
                 ("attention.shared_kv_layers", U32, c["num_kv_shared_layers"]),
                 ("embedding_length_per_layer_input", U32, c["hidden_size_per_layer_input"]),
                 ("attention.sliding_window_pattern", BOOL, [t == "sliding_attention" for t in c["layer_types"]]),
                 ("rope.dimension_count", U32, full), ("rope.dimension_count_swa", U32, local)]
    for key, kind, value in keys:
        yield f"{family}.{key}", kind, value
    yield "tokenizer.ggml.model", STRING, "none"


def full_head_dim(config):
    own = config.get("per_layer_config") or {}
    first = config["layer_types"].index("full_attention")
    return own.get(f"{first:02}", {}).get("head_dim", config.get("global_head_dim") or config["head_dim"])


def rope_factors(config):
    """Of the full layers' pairs: those that do not turn have a factor that stills them."""
    half = full_head_dim(config) // 2
    turning = int(half * config["rope_parameters"]["full_attention"].get("partial_rotary_factor", 1))
    return struct.pack(f"<{half}f", *([1.0] * turning + [1e30] * (half - turning)))


def text(value):
    data = value.encode()
    return struct.pack("<Q", len(data)) + data


def packed(kind, value):
    if isinstance(value, list):
        return struct.pack("<IIQ", ARRAY, kind, len(value)) + b"".join(scalar(kind, v) for v in value)
    return struct.pack("<I", kind) + scalar(kind, value)


def scalar(kind, value):
    return text(value) if kind == STRING else struct.pack("<" + FORMS[kind], value)


def header(keys, tensors):
    """The file before its data, and where in the file each tensor begins. Tensors are (name, shape, type, bytes)."""
    keys, tensors = list(keys), list(tensors)
    out = bytearray(struct.pack("<4sIQQ", b"GGUF", 3, len(tensors), len(keys)))
    for key, kind, value in keys:
        out += text(key) + packed(kind, value)
    offsets, end = [], 0
    for name, shape, kind, size in tensors:
        out += text(name) + struct.pack(f"<I{len(shape)}QIQ", len(shape), *reversed(shape), kind, end)
        offsets.append(end)
        end += (size + 31) // 32 * 32
    out += bytes(-len(out) % 32)
    return out, [len(out) + offset for offset in offsets]


def write(path, keys, tensors):
    tensors = list(tensors)
    out, _ = header(keys, ((name, shape, F32_TENSOR, len(data)) for name, shape, data in tensors))
    for _, _, data in tensors:
        out += data + bytes(-len(data) % 32)
    with open(path, "wb") as file:
        file.write(out)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder")
    parser.add_argument("out")
    parser.add_argument("--goldens", action="store_true")
    options = parser.parse_args()
    with open(os.path.join(options.folder, "config.json"), encoding="utf-8") as file:
        config = json.load(file)
    family = config["model_type"].removesuffix("_text")
    if family not in FAMILIES:
        raise SystemExit(f"{options.folder}: model_type {family}: expected one of {', '.join(FAMILIES)}")
    tensors = [(name_of(name, family), shape, data)
               for name, shape, data in tensors_of(os.path.join(options.folder, "model.safetensors"))]
    if family == "gemma4":
        tensors.append(("rope_freqs.weight", [full_head_dim(config) // 2], rope_factors(config)))
    write(options.out, metadata(config, family), tensors)
    if options.goldens:
        shutil.copy(os.path.join(options.folder, "goldens.safetensors"),
                    options.out.removesuffix(".gguf") + ".goldens.safetensors")


if __name__ == "__main__":
    main()
