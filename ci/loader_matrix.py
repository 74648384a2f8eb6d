#!/usr/bin/env python3
"""Records what transformers computes for every setting of a config that loaders of other engines have got wrong, for every family.

    ci/loader_matrix.py suites/fixtures/loader_matrix

Writes cells.json (each cell's config or metadata, and what must come of it), one tiny checkpoint per family with every tensor that a cell may
want, the same weights as GGUF, and logits.safetensors: transformers' float32 logits of the last positions of one sequence. A cell that must be
refused has the text that the message must hold instead. suites/parity/loader.cc builds each cell and compares. Needs PyTorch,
transformers 5.17, safetensors and gguf; no test runs this script.
"""
import copy
import json
import os
import sys
import tempfile

import gguf
import numpy as np
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoConfig, AutoModelForCausalLM

VOCAB, HIDDEN, HEADS, KV, DIM, FFN, LAYERS, WINDOW = 32, 16, 4, 2, 8, 24, 3, 5
TOKENS = [int(t) for t in np.random.Generator(np.random.PCG64(7)).integers(0, VOCAB, 40)]
ROWS = 4
BASE = dict(vocab_size=VOCAB, hidden_size=HIDDEN, num_attention_heads=HEADS, num_key_value_heads=KV, head_dim=DIM, intermediate_size=FFN,
            num_hidden_layers=LAYERS, max_position_embeddings=64, rms_norm_eps=1e-6, tie_word_embeddings=False)
KINDS = ["sliding_attention", "sliding_attention", "full_attention"]
NESTED = {"full_attention": {"rope_type": "default", "rope_theta": 1e4}, "sliding_attention": {"rope_type": "default", "rope_theta": 100.0}}
FAMILIES = {
    "llama": dict(BASE, model_type="llama", hidden_act="silu", rope_theta=1e4),
    "mistral": dict(BASE, model_type="mistral", hidden_act="silu", rope_theta=1e4, sliding_window=WINDOW),
    "qwen2": dict(BASE, model_type="qwen2", hidden_act="silu", rope_theta=1e4),
    "qwen3": dict(BASE, model_type="qwen3", hidden_act="silu", rope_theta=1e4),
    "gemma3": dict(BASE, model_type="gemma3_text", hidden_activation="gelu_pytorch_tanh", sliding_window=WINDOW, query_pre_attn_scalar=DIM,
                   layer_types=KINDS, rope_theta=1e4, rope_local_base_freq=100.0),
    "gemma4": dict(BASE, model_type="gemma4_text", hidden_activation="gelu_pytorch_tanh", sliding_window=WINDOW, layer_types=KINDS,
                   global_head_dim=2 * DIM, hidden_size_per_layer_input=0,
                   rope_parameters={"full_attention": {"rope_type": "proportional", "rope_theta": 1e4, "partial_rotary_factor": 0.25},
                                    "sliding_attention": NESTED["sliding_attention"]}),
}
LINEAR = {"rope_type": "linear", "factor": 4.0}
YARN = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 16}
LLAMA3 = {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 32}
DEFAULT = {"rope_type": "default", "rope_theta": 300.0}


def hf_cells(family):
    """(setting, changes of the config; None drops a key, tensors besides the usual ones, expected: MATCH or a text, config recorded with)"""
    gemma = family.startswith("gemma")
    one_rope, null = not gemma, "NULL"
    tied = {"tie_word_embeddings": True}
    cells = [
        ("base", {}, "head", "MATCH"),
        ("tied", tied, "", "MATCH"),
        ("tied_own_head", tied, "head", "MATCH", {"tie_word_embeddings": False}),
        ("tied_head_equal", tied, "equal_head", "MATCH", tied),
        ("tied_head_only", tied, "only_head", "MATCH"),
        ("prefix_language_model", {}, "head language_model.", "MATCH", {}),
        ("is_causal_false", {"is_causal": False}, "head", "is_causal"),
        ("is_causal_true", {"is_causal": True}, "head", "MATCH"),
        ("final_softcap", {"final_logit_softcapping": 2.0}, "head", "MATCH"),
        ("attention_softcap", {"attn_logit_softcapping": 20.0}, "head", "attn_logit_softcapping"),
        ("partial_top", {"partial_rotary_factor": 0.5}, "head", "partial_rotary_factor"),
        ("multiplier", {"residual_multiplier": 0.5}, "head", "residual_multiplier"),
        ("multiplier_off", {"residual_multiplier": 1.0}, "head", "MATCH"),
        ("alibi", {"alibi": True}, "head", "alibi"),
        ("harmless", {"use_cache": False, "transformers_version": "9", "attention_dropout": 0.1, "eos_token_id": [1, 2]}, "head", "MATCH"),
        ("unknown", {"favourite_colour": "blue"}, "head", "MATCH"),
        ("attention_bias", {"attention_bias": True}, "head bias", "MATCH"),
        ("attention_bias_false", {"attention_bias": False}, "head", "MATCH"),
        ("kv_heads_absent", {"num_key_value_heads": None}, "head", "" if family in ("llama", "gemma3") else "num_key_value_heads"),
        ("quantised", {"quantization_config": {"quant_method": "gptq"}}, "head", "gptq"),
    ]
    if one_rope:
        cells += [
            ("scaling_linear", {"rope_scaling": LINEAR}, "head", "MATCH"),
            ("scaling_linear_type", {"rope_scaling": {"type": "linear", "factor": 4.0}}, "head", "MATCH"),
            ("scaling_beside_parameters", {"rope_scaling": LINEAR, "rope_parameters": DEFAULT}, "head", "MATCH"),
            ("yarn_beside_parameters", {"rope_scaling": YARN, "rope_parameters": DEFAULT}, "head", "MATCH"),
            ("scaling_null_beside_parameters", {"rope_scaling": null, "rope_parameters": dict(LINEAR, rope_theta=300.0)}, "head", "MATCH"),
            ("dynamic_beside_parameters", {"rope_scaling": {"rope_type": "dynamic", "factor": 2.0}, "rope_parameters": DEFAULT}, "head",
             "dynamic"),
            ("parameters", {"rope_parameters": DEFAULT}, "head", "MATCH"),
            ("parameters_without_theta", {"rope_parameters": LINEAR}, "head", "MATCH"),
            ("yarn", {"rope_scaling": YARN}, "head", "MATCH"),
            ("yarn_factor", {"rope_scaling": dict(YARN, attention_factor=1.5, beta_fast=8.0, beta_slow=2.0)}, "head", "MATCH"),
            ("yarn_mscale", {"rope_scaling": dict(YARN, mscale=1.0, mscale_all_dim=0.5)}, "head", "MATCH"),
            ("yarn_untruncated", {"rope_scaling": dict(YARN, truncate=False)}, "head", "MATCH"),
            ("yarn_top_original", {"rope_scaling": YARN, "original_max_position_embeddings": 32}, "head", "MATCH"),
            ("llama3", {"rope_scaling": LLAMA3}, "head", "MATCH"),
            ("llama3_top_original", {"rope_scaling": LLAMA3, "original_max_position_embeddings": 8}, "head", "MATCH"),
            ("longrope", {"rope_scaling": {"rope_type": "longrope", "factor": 2.0}}, "head", "longrope"),
            ("nested_tables", {"rope_parameters": NESTED}, "head", "full_attention"),
        ]
    if family == "gemma3":
        cells += [
            ("scaling_linear", {"rope_scaling": LINEAR}, "head", "MATCH"),
            ("scaling_merged", {"rope_scaling": {"rope_type": "linear", "factor": 8.0}, "rope_parameters": NESTED}, "head", "MATCH"),
            ("yarn_merged", {"rope_scaling": YARN, "rope_parameters": NESTED}, "head", "MATCH"),
            # transformers 5.17 cannot open it, 5.24 reads nothing from it
            ("flat_table", {"rope_parameters": dict(LINEAR, rope_theta=50.0)}, "head", "MATCH", {"rope_parameters": None}),
            ("only_sliding_table", {"rope_parameters": {"sliding_attention": LINEAR}}, "head", "MATCH"),
            ("only_full_table", {"rope_parameters": {"full_attention": dict(LINEAR, rope_theta=50.0)}}, "head", "MATCH"),
            ("dynamic_merged", {"rope_scaling": {"rope_type": "dynamic", "factor": 2.0}, "rope_parameters": NESTED}, "head", "dynamic"),
            ("window_null", {"sliding_window": null}, "head", "sliding_window"),
            ("pattern", {"layer_types": None, "sliding_window_pattern": 2}, "head", "MATCH"),
        ]
    if family == "gemma4":
        full = lambda table: {"rope_parameters": {"full_attention": table, "sliding_attention": NESTED["sliding_attention"]}}
        cells += [
            ("proportional_without_partial", full({"rope_type": "proportional", "rope_theta": 1e4}), "head", "MATCH"),
            ("default_full", full({"rope_type": "default", "rope_theta": 1e4}), "head", "MATCH"),
            ("linear_full", full(dict(LINEAR, rope_theta=1e4)), "head", "MATCH"),
            ("no_tables", {"rope_parameters": None}, "head", "MATCH"),
            ("flat_table", {"rope_parameters": {"rope_type": "default", "rope_theta": 1e4}}, "head", "rope_parameters"),
            ("scaling", {"rope_scaling": LINEAR}, "head", "rope_scaling"),
            ("window_null", {"sliding_window": null}, "head", "sliding_window"),
        ]
    if family == "mistral":
        cells += [("window_null", {"sliding_window": null}, "head", "MATCH"), ("window_absent", {"sliding_window": None}, "head", "MATCH"),
                  ("window_wide", {"sliding_window": 20}, "head", "MATCH")]
    if family == "llama":
        cells += [("stray_window", {"sliding_window": 3, "layer_types": KINDS}, "head", "MATCH"),
                  ("mlp_bias", {"mlp_bias": True}, "head", "mlp_bias")]
    if family.startswith("qwen"):
        cells += [
            ("window_off", {"use_sliding_window": False, "sliding_window": 3}, "head", "MATCH"),
            ("window_on", {"use_sliding_window": True, "sliding_window": 3, "max_window_layers": 1}, "head", "MATCH"),
            ("window_on_null", {"use_sliding_window": True, "sliding_window": null, "max_window_layers": 1}, "head", "MATCH"),
            ("window_on_absent", {"use_sliding_window": True, "max_window_layers": 0}, "head", "MATCH"),
            ("window_off_layer_types", {"use_sliding_window": False, "layer_types": KINDS}, "head", "sliding_window"),
        ]
    return cells


def with_changes(config, changes):
    config = copy.deepcopy(config)
    for key, value in changes.items():
        if value is None:
            config.pop(key, None)
        else:
            config[key] = None if value == "NULL" else copy.deepcopy(value)
    return config


def weights_of(family):
    """Every tensor that a cell of the family may want; values are numbers of bf16 and of fp16."""
    config = dict(FAMILIES[family], attention_bias=True)
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model(**config))
    random = torch.Generator().manual_seed(sum(map(ord, family)))
    tensors = {}
    for name, value in sorted(model.state_dict().items()):
        if name.endswith("layer_scalar"):
            continue
        shape = tuple(value.shape)
        drawn = torch.randn(shape, generator=random)
        if "norm" in name:
            drawn = 0.2 * drawn + (0.0 if family == "gemma3" else 1.0)
        elif name.endswith(".bias"):
            drawn = 0.5 * drawn
        elif "embed" not in name:
            drawn = 1.5 * drawn / shape[-1] ** 0.5
        drawn = drawn.to(torch.bfloat16)
        tensors[name] = torch.where(drawn.abs() < 2.0**-8, torch.zeros_like(drawn), drawn)
    if family == "qwen2":  # transformers has no such tensor there, a GGUF file may
        for layer in range(LAYERS):
            tensors[f"model.layers.{layer}.self_attn.o_proj.bias"] = (torch.randn(HIDDEN, generator=random) / 2).to(torch.bfloat16)
    return tensors


def choose(tensors, want, family):
    """The tensors of a cell. Words: head, equal_head, only_head, bias, and a prefix instead of `model.`."""
    words = want.split()
    chosen = {}
    for name, value in tensors.items():
        if name.endswith(".bias") and not ("bias" in words or (family == "qwen2" and "o_proj" not in name)):
            continue
        if name == "lm_head.weight" and "head" not in words:
            continue
        chosen[name] = value
    if "equal_head" in words:
        chosen["lm_head.weight"] = chosen["model.embed_tokens.weight"].clone()
    if "only_head" in words:
        chosen["lm_head.weight"] = chosen.pop("model.embed_tokens.weight")
    return chosen


def logits_of(config, tensors):
    with tempfile.TemporaryDirectory() as folder:
        with open(os.path.join(folder, "config.json"), "w") as file:
            json.dump(config, file)
        save_file({k: v.contiguous() for k, v in tensors.items()}, os.path.join(folder, "model.safetensors"), metadata={"format": "pt"})
        model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval()
        with torch.no_grad():
            return model(torch.tensor([TOKENS])).logits[0, -ROWS:].contiguous().clone()


GGUF_NAMES = {"input_layernorm": "attn_norm", "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v",
              "self_attn.o_proj": "attn_output", "self_attn.q_norm": "attn_q_norm", "self_attn.k_norm": "attn_k_norm",
              "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down",
              "pre_feedforward_layernorm": "ffn_norm", "post_feedforward_layernorm": "post_ffw_norm"}


def permuted(value, heads):
    return value.reshape(heads, 2, value.shape[0] // heads // 2, *value.shape[1:]).swapaxes(1, 2).reshape(value.shape)


def write_gguf(path, family, tensors):
    gemma, arch = family.startswith("gemma"), family
    writer = gguf.GGUFWriter(path, arch)
    writer.add_block_count(LAYERS)
    writer.add_context_length(64)
    writer.add_embedding_length(HIDDEN)
    writer.add_feed_forward_length(FFN)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv([KV] * LAYERS if family == "gemma4" else KV)
    writer.add_layer_norm_rms_eps(1e-6)
    writer.add_key_length(2 * DIM if family == "gemma4" else DIM)
    writer.add_value_length(2 * DIM if family == "gemma4" else DIM)
    writer.add_rope_freq_base(1e4)
    writer.add_vocab_size(VOCAB)
    if gemma:
        writer.add_sliding_window(WINDOW)
        writer.add_array(f"{arch}.attention.sliding_window_pattern", [kind == "sliding_attention" for kind in KINDS])
        writer.add_float32(f"{arch}.rope.freq_base_swa", 100.0)
    if family == "gemma4":
        writer.add_uint32("gemma4.attention.key_length_swa", DIM)
        writer.add_uint32("gemma4.attention.value_length_swa", DIM)
        writer.add_tensor("rope_freqs.weight", np.array([1, 1] + [1e30] * (DIM - 2), np.float32))
    for name, value in tensors.items():
        value = value.float().numpy()
        if name == "lm_head.weight":
            target = "output.weight"
        elif name == "model.embed_tokens.weight":
            target = "token_embd.weight"
        elif name == "model.norm.weight":
            target = "output_norm.weight"
        else:
            _, _, layer, rest = name.split(".", 3)
            part, end = rest.rsplit(".", 1)
            if part == "post_attention_layernorm":
                short = "post_attention_norm" if gemma else "ffn_norm"
            else:
                short = GGUF_NAMES[part]
            target = f"blk.{layer}.{short}.{end}"
            if family == "llama" and part in ("self_attn.q_proj", "self_attn.k_proj"):
                value = permuted(value, HEADS if "q_proj" in part else KV)
        if family == "gemma3" and "norm" in name:
            value = value + 1.0
        writer.add_tensor(target, np.ascontiguousarray(value.astype(np.float32 if value.ndim == 1 else np.float16)))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


U32, F32, BOOL, STRING = 4, 6, 7, 8


def gguf_cells(family):
    """(setting, [key, type, value] with the architecture left out, tensors, expected, changes of the config that mean the same)"""
    gemma = family.startswith("gemma")
    scale = lambda kind, factor, *more: [["rope.scaling.type", STRING, kind], ["rope.scaling.factor", F32, factor], *more]
    original = ["rope.scaling.original_context_length", U32, 16]
    cells = [
        ("base", [], "head", "MATCH", {}),
        ("tied", [], "", "MATCH", {"tie_word_embeddings": True}),
        ("causal_false", [["attention.causal", BOOL, 0]], "head", "attention.causal", {}),
        ("causal_true", [["attention.causal", BOOL, 1]], "head", "MATCH", {}),
        ("softcap", [["final_logit_softcapping", F32, 2.0]], "head", "MATCH", {"final_logit_softcapping": 2.0}),
        ("scaling_none", scale("none", 1.0), "head", "MATCH", {}),
        ("scaling_none_factor", scale("none", 4.0), "head", "MATCH", {}),
        ("factor_zero", scale("linear", 0.0), "head", "MATCH", {}),
        ("longrope", scale("longrope", 2.0), "head", "longrope", {}),
        ("bias", [], "head bias", "MATCH", {"attention_bias": True}),
        ("multiplier", [["residual_scale", F32, 0.5]], "head", "residual_scale", {}),
        ("unknown", [["favourite_colour", STRING, "blue"]], "head", "MATCH", {}),
        ("attention_softcap", [["attn_logit_softcapping", F32, 20.0]], "head", "attn_logit_softcapping", {}),
        ("adapter", [["/general.type", STRING, "adapter"]], "head", "adapter", {}),
    ]
    if family == "gemma4":
        cells += [("linear", scale("linear", 4.0), "head", "rope scaling", {}), ("yarn", scale("yarn", 4.0, original), "head", "rope scaling", {})]
    else:
        cells += [("linear", scale("linear", 4.0), "head", "MATCH", {"rope_scaling": LINEAR}),
                  ("factor_without_type", [["rope.scaling.factor", F32, 4.0]], "head", "MATCH", {"rope_scaling": LINEAR}),
                  ("yarn", scale("yarn", 4.0, original), "head", "MATCH", {"rope_scaling": YARN}),
                  ("yarn_betas", scale("yarn", 4.0, original, ["rope.scaling.yarn_beta_fast", F32, 8.0],
                                       ["rope.scaling.yarn_beta_slow", F32, 2.0]), "head", "MATCH",
                   {"rope_scaling": dict(YARN, beta_fast=8.0, beta_slow=2.0)})]
    if family == "gemma3":
        cells += [("ollama", [["-rope.freq_base", 0, 0], ["-rope.freq_base_swa", 0, 0], ["-attention.layer_norm_rms_epsilon", 0, 0],
                              ["rope.global.freq_base", F32, 1e4], ["rope.local.freq_base", F32, 100.0]], "head", "MATCH", {})]
    if not gemma:
        cells += [("window", [["attention.sliding_window", U32, 3]], "head", "sliding_window", {})]
    return cells


def write_case(folder, family, changes):
    """A whole checkpoint with its goldens, for the engine itself: `assay golden`."""
    config = with_changes(FAMILIES[family], changes)
    tensors = choose(weights_of(family), "head bias", family)
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, "config.json"), "w") as file:
        json.dump(config, file, indent=1)
    save_file({k: v.contiguous() for k, v in tensors.items()}, os.path.join(folder, "model.safetensors"), metadata={"format": "pt"})
    save_file({"tokens.0": torch.tensor(TOKENS), "logits.0": logits_of(config, tensors)}, os.path.join(folder, "goldens.safetensors"))


def write_recordings(folder, case):
    """What recorders make of one answer: log-probabilities, padded columns, PyTorch's 16-bit types."""
    os.makedirs(folder, exist_ok=True)
    goldens = load_file(os.path.join(case, "goldens.safetensors"))
    tokens, logits = goldens["tokens.0"], goldens["logits.0"]
    padded = torch.cat([logits, torch.full((ROWS, 8), -torch.inf)], 1)
    for name, value in {"log_probabilities": logits.log_softmax(-1), "padded": padded, "fp16": logits.half(), "bf16": logits.bfloat16()}.items():
        save_file({"tokens.0": tokens, "logits.0": value.contiguous()}, os.path.join(folder, name + ".safetensors"))


def main(folder):
    os.makedirs(folder, exist_ok=True)
    public = os.path.join(folder, "..", "public")
    write_case(os.path.join(public, "attention-bias-yarn-llama"), "llama", {"attention_bias": True, "rope_scaling": YARN})
    write_case(os.path.join(public, "attention-bias-yarn-gemma3"), "gemma3", {"attention_bias": True, "rope_scaling": YARN})
    write_case(os.path.join(public, "attention-bias-gemma4"), "gemma4", {"attention_bias": True, "attention_k_eq_v": False})
    write_recordings(os.path.join(public, "recordings"), os.path.join(public, "attention-bias-yarn-llama"))
    cells, logits = [], {}

    def record(name, config, tensors):
        try:
            logits[name] = logits_of(config, tensors)
        except Exception as error:
            sys.exit(f"{name}: transformers: {type(error).__name__}: {error}")

    for family, base in FAMILIES.items():
        tensors = weights_of(family)
        save_file({k: v.contiguous() for k, v in tensors.items()}, os.path.join(folder, family + ".safetensors"))
        seen = {}
        for setting, changes, want, expected, *recorded in hf_cells(family):
            name = f"{family}/hf/{setting}"
            config = with_changes(base, changes)
            if setting == "kv_heads_absent" and family == "llama":
                expected = "k_proj"  # as many as heads: the file's tensors are too small
            if setting == "kv_heads_absent" and family == "gemma3":
                expected = "k_proj"  # 4 by default
            if setting == "kv_heads_absent" and family == "mistral":
                expected = "kv_heads"
            if setting == "kv_heads_absent" and family in ("qwen2", "qwen3", "gemma4"):
                expected = "kv_heads" if family != "gemma4" else "num_key_value_heads"
            cells.append({"name": name, "family": family, "config": config, "tensors": want, "expected": expected})
            if expected == "MATCH":
                other = with_changes(config, recorded[0]) if recorded else config
                words = "head" if recorded and not recorded[0].get("tie_word_embeddings", False) else want
                words = "" if recorded and recorded[0].get("tie_word_embeddings") else words
                record(name, other, choose(tensors, words, family))
        if family == "mistral":
            continue
        write_gguf(os.path.join(folder, family + ".gguf"), family, tensors)
        for setting, metadata, want, expected, changes in gguf_cells(family):
            name = f"{family}/gguf/{setting}"
            cells.append({"name": name, "family": family, "metadata": metadata, "tensors": want, "expected": expected})
            if expected != "MATCH":
                continue
            if family == "qwen2" and "bias" in want.split():  # transformers has no output bias there: llama's q, k, v, o of the same weights
                config = with_changes(dict(FAMILIES["llama"], attention_bias=True), {})
            else:
                config = with_changes(base, changes)
            record(name, config, choose(tensors, want, family))
    save_file(logits, os.path.join(folder, "logits.safetensors"))
    with open(os.path.join(folder, "cells.json"), "w") as file:
        file.write('{"tokens": %s, "rows": %d, "cells": [\n' % (json.dumps(TOKENS), ROWS))
        file.write(",\n".join(json.dumps(cell) for cell in cells) + "\n]}\n")
    print(len(cells), "cells,", sum(c["expected"] == "MATCH" for c in cells), "with logits")


if __name__ == "__main__":
    main(sys.argv[1])
