"""Writes a Gemma 4 without experts as GGUF with random weights; its geometry is that of a model `assay inspect` knows.

    python3 bench/peers/random_gguf.py ASSAY gemma4-e4b bf16|q8_0 OUT.gguf

llama.cpp and the engine of this tree read the same file. Types are those of llama.cpp's own files: norms are F32, other
tensors of the type asked for, per_layer_model_proj BF16 always. Values repeat one pool of normal numbers, so that a
file of 16 GB is written as fast as memory or a disk takes it. Each tensor begins elsewhere in the pool, which has a
prime number of blocks: no two rows of a matrix are alike. Needs numpy.
"""
import concurrent.futures
import functools
import json
import math
import os
import subprocess
import sys
import zlib

import numpy as np

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path[:0] = [os.path.join(ROOT, "suites", "adapters"), os.path.join(ROOT, "ci")]
import tiny_recipe  # noqa: E402
import to_gguf  # noqa: E402

BLOCK = 32  # values of a Q8_0 block
BLOCKS = 2**19 - 1  # of the pool; a prime
BYTES = {to_gguf.F32_TENSOR: 4 * BLOCK, to_gguf.BF16_TENSOR: 2 * BLOCK, to_gguf.Q8_0_TENSOR: 2 + BLOCK}  # of a block
TYPES = {"bf16": to_gguf.BF16_TENSOR, "q8_0": to_gguf.Q8_0_TENSOR}


def geometry(assay, model):
    said = subprocess.run([assay, "inspect", model, "--json"], stdout=subprocess.PIPE, check=False).stdout
    spec = json.loads(said or '{"error": "assay inspect said nothing"}')
    if "error" in spec:
        raise SystemExit(f"{model}: {spec['error']}")
    if spec["family"] != "gemma4" or any(layer["experts"] for layer in spec["layers"]):
        raise SystemExit(f"{model}: expected a Gemma 4 without experts")
    return spec


def config(spec):
    """As a Hugging Face config.json has it."""
    layers = spec["layers"]
    local, full = ([layer for layer in layers if layer["kind"] == kind] for kind in ("sliding", "full"))
    return {
        "num_hidden_layers": len(layers), "hidden_size": spec["hidden"], "vocab_size": spec["vocab"],
        "max_position_embeddings": spec["max_position"], "rms_norm_eps": spec["norm_eps"],
        "intermediate_size": [layer["ffn"] for layer in layers], "num_attention_heads": layers[0]["heads"],
        "num_key_value_heads": [layer["kv_heads"] for layer in layers], "head_dim": local[0]["head_dim"],
        "global_head_dim": full[0]["head_dim"], "layer_types": [layer["kind"] + "_attention" for layer in layers],
        "num_kv_shared_layers": sum(layer["kv_source"] != i for i, layer in enumerate(layers)),
        "sliding_window": local[0]["window"], "hidden_size_per_layer_input": spec["ple_width"],
        "final_logit_softcapping": spec["softcap"],
        "rope_parameters": {
            "full_attention": {"rope_theta": full[0]["rope_theta"],
                               "partial_rotary_factor": 2 * full[0]["rotated_pairs"] / full[0]["head_dim"]},
            "sliding_attention": {"rope_theta": local[0]["rope_theta"]}}}


def shapes(spec):
    hidden, vocab, width, layers = spec["hidden"], spec["vocab"], spec["ple_width"], spec["layers"]
    yield "token_embd.weight", [vocab, hidden]
    yield "output_norm.weight", [hidden]
    if width:
        yield "per_layer_token_embd.weight", [vocab, width * len(layers)]
        yield "per_layer_model_proj.weight", [width * len(layers), hidden]
        yield "per_layer_proj_norm.weight", [width]
    for i, layer in enumerate(layers):
        dim, ffn = layer["head_dim"], layer["ffn"]
        q, kv = layer["heads"] * dim, layer["kv_heads"] * dim
        own = {"attn_q": [q, hidden], "attn_k": [kv, hidden], "attn_v": [kv, hidden], "attn_output": [hidden, q],
               "attn_q_norm": [dim], "attn_k_norm": [dim], "ffn_gate": [ffn, hidden], "ffn_up": [ffn, hidden],
               "ffn_down": [hidden, ffn], "inp_gate": [width, hidden], "proj": [hidden, width],
               "layer_output_scale": [1]}
        absent = set() if width else {"inp_gate", "proj", "post_norm"}
        if layer["kv_source"] != i:
            absent |= {"attn_k", "attn_v", "attn_k_norm"}
        if layer["value_is_key"]:
            absent.add("attn_v")
        for part in {**to_gguf.LAYER, **to_gguf.FAMILIES["gemma4"]}.values():
            if part not in absent:
                yield f"blk.{i}.{part}.weight", own.get(part, [hidden])


def type_of(name, shape, wanted):
    if len(shape) == 1:
        return to_gguf.F32_TENSOR
    return to_gguf.BF16_TENSOR if name.startswith("per_layer_model_proj") else wanted


@functools.cache
def normal():
    return np.random.Generator(np.random.SFC64(1)).standard_normal((BLOCKS, BLOCK), np.float32).clip(-3.5, 3.5)


@functools.cache
def pool(std, kind):
    """The pool times `std` as bytes of a type."""
    if kind == to_gguf.BF16_TENSOR:
        bits = (normal() * np.float32(std)).view(np.uint32)
        return ((bits + 0x7FFF + (bits >> 16 & 1)) >> 16).astype(np.uint16).reshape(-1).view(np.uint8)
    scale = np.abs(normal()).max(1, keepdims=True) / 127
    blocks = np.empty((BLOCKS, BYTES[kind]), np.uint8)
    blocks[:, :2] = (scale * std).astype(np.float16).view(np.uint8)
    blocks[:, 2:] = np.rint(normal() / scale).astype(np.int8).view(np.uint8)
    return blocks.reshape(-1)


def write_tensor(file, at, name, size, kind, mean, std):
    begin = zlib.crc32(name.encode()) % BLOCKS
    if kind == to_gguf.F32_TENSOR:
        values = normal().reshape(-1)[begin:begin + size // 4]  # `begin` is that of a value here: the end is far
        os.pwrite(file, (mean + std * values).astype(np.float32).tobytes(), at)
        return
    data, begin = pool(std, kind), begin * BYTES[kind]
    while size:
        piece = data[begin:begin + size]
        done = os.pwrite(file, piece, at)
        at, size, begin = at + done, size - done, (begin + done) % data.size


def recipe(name, shape, spec):
    """Mean and standard deviation."""
    short = name.removesuffix(".weight").split(".", 2)[-1]
    part = tiny_recipe.GGUF_NAMES.get(short, short)
    return tiny_recipe.recipe(part, shape, spec["hidden"], len(spec["layers"]), spec["ple_width"])


def main():
    assay, model, wanted, out = sys.argv[1:]
    spec = geometry(assay, model)
    settings = config(spec)
    tensors = []
    for name, shape in shapes(spec):
        kind = type_of(name, shape, TYPES[wanted])
        if kind == to_gguf.Q8_0_TENSOR and shape[-1] % BLOCK:
            raise SystemExit(f"{name}: Q8_0 needs rows of whole blocks of {BLOCK}, not of {shape[-1]}")
        tensors.append((name, shape, kind, math.prod(shape) * BYTES[kind] // BLOCK))
    factors = to_gguf.rope_factors(settings)
    tensors.append(("rope_freqs.weight", [len(factors) // 4], to_gguf.F32_TENSOR, len(factors)))
    head, offsets = to_gguf.header(to_gguf.metadata(settings, "gemma4"), tensors)
    file = os.open(out, os.O_CREAT | os.O_TRUNC | os.O_WRONLY, 0o644)
    os.pwrite(file, head, 0)
    os.pwrite(file, factors + bytes(-len(factors) % 32), offsets[-1])
    with concurrent.futures.ThreadPoolExecutor(min(8, os.cpu_count())) as threads:
        jobs = []
        for (name, shape, kind, size), at in zip(tensors[:-1], offsets):
            mean, std = recipe(name, shape, spec)
            if kind != to_gguf.F32_TENSOR:
                pool(std, kind)  # here, so that no two threads make the same one
            jobs.append(threads.submit(write_tensor, file, at, name, size, kind, mean, std))
        for job in jobs:
            job.result()
    os.close(file)


if __name__ == "__main__":
    main()
