#!/usr/bin/env python3
"""Gives tiny GGUF fixtures of the Gemma 4 family new random weights, and writes beside each the float64 logits of a plain forward pass.

    ci/tiny_gguf.py suites/fixtures/goldens/gguf-tiny/gemma4-{e2b-like,k-eq-v,moe-fused-experts,moe-split-experts}.gguf
    ci/tiny_gguf.py --keep-weights FILE...    # only compute, compare with what is recorded, and ask llama.cpp

Only values change: metadata, names, types, shapes and the recorded tokens stay. Weights are those of tiny_recipe.py, a function of the file's
name. The forward pass below is written from the published formulas, in numpy, all positions at once; llama.cpp (the `cyllama` wheel) must
agree with it on the argmax at every position and within 2e-2 of the largest logit, or nothing is written: its CPU GELU goes through a table of
16-bit floats. Needs numpy, gguf and cyllama (0.2.18 was used).
"""
import argparse
import json
import os

import numpy as np
from cyllama.llama import llama_cpp
from gguf import GGMLQuantizationType, GGUFReader

import tiny_recipe


class File:
    def __init__(self, path, mode="r"):
        self.reader = GGUFReader(path, mode)
        self.tensors = {t.name: t for t in self.reader.tensors}
        assert all(t.tensor_type == GGMLQuantizationType.F32 for t in self.tensors.values()), f"{path}: not all of it is F32"

    def get(self, key, default=None):
        field = self.reader.fields.get("gemma4." + key)
        return default if field is None else field.contents()

    def per_layer(self, key):
        value = self.get(key)
        return value if isinstance(value, list) else [value] * self.get("block_count")

    def array(self, name):  # outputs first, inputs last
        tensor = self.tensors.get(name)
        return None if tensor is None else tensor.data.reshape([int(d) for d in reversed(tensor.shape)]).astype(np.float64)


def new_weights(path):
    file = File(path, "r+")
    random = np.random.Generator(np.random.PCG64(tiny_recipe.seed_of(os.path.basename(path))))
    for name, tensor in sorted(file.tensors.items()):
        if name == "rope_freqs.weight":
            continue
        shape = tuple(int(d) for d in reversed(tensor.shape))
        short = name.removesuffix(".weight").split(".", 2)[-1] if name.startswith("blk.") else name.removesuffix(".weight")
        part = tiny_recipe.GGUF_NAMES.get(short, short)
        mean, std = tiny_recipe.recipe(part, shape, file.get("embedding_length"), file.get("block_count"),
                                       file.get("embedding_length_per_layer_input", 0))
        key_is_value = name.replace("attn_k", "attn_v") not in file.tensors
        values = (mean + std * random.standard_normal(shape)) * tiny_recipe.columns(part, shape[-1], key_is_value)
        tensor.data[...] = values.astype(np.float32).reshape(tensor.data.shape)
    file.reader.data.flush()


def norm(x, weight, eps):
    y = x / np.sqrt((x * x).mean(-1, keepdims=True) + eps)
    return y if weight is None else y * weight


def gelu(x):
    return 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))


def rope(x, theta, factors):  # x: [position, head, dim]; a pair is (i, i + dim / 2)
    half = x.shape[-1] // 2
    angle = np.arange(x.shape[0])[:, None] * theta ** (-np.arange(half) / half) / factors
    c, s = np.cos(angle)[:, None], np.sin(angle)[:, None]
    a, b = x[..., :half], x[..., half:]
    return np.concatenate([a * c - b * s, b * c + a * s], -1)


def forward(path, ids):
    file = File(path)
    layers, hidden, heads = file.get("block_count"), file.get("embedding_length"), file.get("attention.head_count")
    eps, width, count = file.get("attention.layer_norm_rms_epsilon"), file.get("embedding_length_per_layer_input", 0), len(ids)
    sliding, kv_heads = file.get("attention.sliding_window_pattern"), file.per_layer("attention.head_count_kv")
    own = layers - file.get("attention.shared_kv_layers", 0)
    position = np.arange(count)
    behind = position[:, None] - position[None]
    embed = file.array("token_embd.weight")
    x = embed[ids] * np.sqrt(hidden)
    if width:
        per_layer = norm((x @ file.array("per_layer_model_proj.weight").T / np.sqrt(hidden)).reshape(count, layers, width),
                         file.array("per_layer_proj_norm.weight"), eps)
        per_layer = (per_layer + file.array("per_layer_token_embd.weight")[ids].reshape(count, layers, width) * np.sqrt(width)) / np.sqrt(2)
    cache = {}
    for layer in range(layers):
        def w(name):
            return file.array(f"blk.{layer}.{name}")
        local = sliding[layer]
        dim = file.get("attention.key_length_swa" if local else "attention.key_length")
        theta = file.get("rope.freq_base_swa" if local else "rope.freq_base")
        factors = 1 if local else file.array("rope_freqs.weight")
        n = norm(x, w("attn_norm.weight"), eps)
        q = rope(norm((n @ w("attn_q.weight").T).reshape(count, heads, dim), w("attn_q_norm.weight"), eps), theta, factors)
        if layer < own:
            raw = (n @ w("attn_k.weight").T).reshape(count, kv_heads[layer], dim)
            v = raw if w("attn_v.weight") is None else (n @ w("attn_v.weight").T).reshape(raw.shape)
            # Later layers that have no keys of their own read the last of their kind.
            cache[local] = rope(norm(raw, w("attn_k_norm.weight"), eps), theta, factors), norm(v, None, eps)
        k, v = (np.repeat(c, heads // c.shape[1], 1) for c in cache[local])
        score = np.einsum("ihd,jhd->hij", q, k)
        seen = (behind >= 0) & (behind < file.get("attention.sliding_window")) if local else behind >= 0
        score = np.where(seen, score, -np.inf)
        p = np.exp(score - score.max(-1, keepdims=True))
        p /= p.sum(-1, keepdims=True)
        x = x + norm(np.einsum("hij,jhd->ihd", p, v).reshape(count, -1) @ w("attn_output.weight").T, w("post_attention_norm.weight"), eps)

        n = norm(x, w("ffn_norm.weight"), eps)
        f = (gelu(n @ w("ffn_gate.weight").T) * (n @ w("ffn_up.weight").T)) @ w("ffn_down.weight").T
        if w("ffn_gate_inp.weight") is not None:
            f = norm(f, w("post_ffw_norm_1.weight"), eps) + norm(mixture(x, w, file.get("expert_used_count"), eps), w("post_ffw_norm_2.weight"), eps)
        x = x + norm(f, w("post_ffw_norm.weight"), eps)
        if width:
            g = gelu(x @ w("inp_gate.weight").T) * per_layer[:, layer]
            x = x + norm(g @ w("proj.weight").T, w("post_norm.weight"), eps)
        x = x * w("layer_output_scale.weight")
    cap = file.get("final_logit_softcapping")
    return cap * np.tanh(norm(x, file.array("output_norm.weight"), eps) @ embed.T / cap)


def mixture(x, w, chosen, eps):
    logits = norm(x, w("ffn_gate_inp.scale"), eps) / np.sqrt(x.shape[-1]) @ w("ffn_gate_inp.weight").T
    p = np.exp(logits - logits.max(-1, keepdims=True))
    gate_up = w("ffn_gate_up_exps.weight")
    if gate_up is None:
        gate_up = np.concatenate([w("ffn_gate_exps.weight"), w("ffn_up_exps.weight")], 1)
    down, scale, n = w("ffn_down_exps.weight"), w("ffn_down_exps.scale"), norm(x, w("pre_ffw_norm_2.weight"), eps)
    out = np.zeros_like(x)
    for row in range(x.shape[0]):
        best = np.argsort(-p[row], kind="stable")[:chosen]
        for e in best:
            gate, up = np.split(gate_up[e] @ n[row], 2)
            out[row] += p[row, e] / p[row, best].sum() * scale[e] * (down[e] @ (gelu(gate) * up))
    return out


class Model(llama_cpp.LlamaModel):
    n_vocab = 0  # the context asks for it; the wheel's class has none


def llama(path, ids, vocab):
    llama_cpp.disable_logging()
    parameters = llama_cpp.LlamaModelParams()
    parameters.n_gpu_layers = 0
    model = Model(path, parameters)
    model.n_vocab = vocab
    setup = llama_cpp.LlamaContextParams()
    setup.n_ctx = setup.n_batch = 256
    setup.type_k = setup.type_v = GGMLQuantizationType.F32
    setup.flash_attn_type = 0
    setup.n_threads = setup.n_threads_batch = 1
    context = llama_cpp.LlamaContext(model, setup)
    batch = llama_cpp.LlamaBatch(n_tokens=len(ids), embd=0, n_seq_max=1)
    for i, token in enumerate(ids):
        batch.add(token, i, [0], True)
    context.decode(batch)
    return np.array([context.get_logits_ith(i) for i in range(len(ids))], np.float64)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="+", metavar="FILE")
    parser.add_argument("--keep-weights", action="store_true", help="compare with what is recorded for the weights that are there")
    args = parser.parse_args()
    for path in args.files:
        recorded = path.removesuffix(".gguf") + ".logits.json"
        with open(recorded, encoding="utf-8") as file:
            old = json.load(file)
        if not args.keep_weights:
            new_weights(path)
        logits = forward(path, old["ids"])
        theirs = llama(path, old["ids"], logits.shape[-1])
        best = np.sort(logits, -1)[:, ::-1]
        off = np.abs(theirs - logits).max() / np.abs(logits).max()
        print(f"{path}: {np.abs(logits - np.array(old['logits'])).max():.3g} from what was recorded; the best leads the eleventh by "
              f"{np.median(best[:, 0] - best[:, 10]):.2f} in the median row; llama.cpp is within {off:.3g}", flush=True)
        if off > 2e-2 or (theirs.argmax(-1) != logits.argmax(-1)).any():
            raise SystemExit(f"{path}: llama.cpp disagrees; its argmax is {theirs.argmax(-1).tolist()}, here {logits.argmax(-1).tolist()}")
        if not args.keep_weights:
            with open(recorded, "w", encoding="utf-8") as file:
                json.dump({"ids": old["ids"], "logits": logits.tolist()}, file)


if __name__ == "__main__":
    main()
