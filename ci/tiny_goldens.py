#!/usr/bin/env python3
"""Gives tiny Hugging Face fixtures of the Gemma 4 family new random weights, and records what transformers computes for them.

    ci/tiny_goldens.py suites/fixtures/goldens/hf-tiny/gemma4-{e2b,e4b,31b,26b-a4b}
    ci/tiny_goldens.py --keep-weights FOLDER...    # only record: to see that a folder's goldens still come out

Only values change: config.json, names, shapes and types of all tensors, the sequences, which of them have hidden states, and the lengths of
greedy text stay as they lie in the folder. Weights are those of tiny_recipe.py, a function of the folder's name. Goldens are float32, eager
attention, every greedy step by full recomputation without a cache. Needs PyTorch (a CPU will do), transformers 5.17 or later and safetensors.
"""
import argparse
import json
import os
import re

import torch
import transformers
from safetensors import safe_open
from safetensors.torch import save_file
from transformers import AutoConfig, AutoModelForCausalLM

import tiny_recipe


def read(path):
    with safe_open(path, "pt") as file:
        return {key: file.get_tensor(key) for key in file.keys()}, file.metadata()


def part_of(name):
    if name.endswith("router.proj.weight"):
        return "router"
    if name.endswith("router.scale"):
        return "router_scale"
    return name.removesuffix(".weight").split(".")[-1]


def new_weights(folder):
    path = os.path.join(folder, "model.safetensors")
    config = AutoConfig.from_pretrained(folder)
    old, metadata = read(path)
    generator = torch.Generator().manual_seed(tiny_recipe.seed_of(os.path.basename(folder)))
    new = {}
    for name in sorted(old):
        shape, part = tuple(old[name].shape), part_of(name)
        mean, std = tiny_recipe.recipe(part, shape, config.hidden_size, config.num_hidden_layers, config.hidden_size_per_layer_input)
        key_is_value = name.replace("k_proj", "v_proj") not in old
        values = mean + std * torch.randn(shape, generator=generator)
        new[name] = (values * torch.tensor(tiny_recipe.columns(part, shape[-1], key_is_value))).to(old[name].dtype)
    save_file(new, path, metadata=metadata)


@torch.no_grad()
def record(folder):
    path = os.path.join(folder, "goldens.safetensors")
    old, metadata = read(path)
    model, loading = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager",
                                                          experts_implementation="eager", output_loading_info=True)
    bad = {kind: keys for kind, keys in loading.items() if keys and set(keys) - {"lm_head.weight"}}
    if bad:
        raise SystemExit(f"{folder} does not load as it lies there: {bad}")
    model.eval()
    new = {}
    for key, value in old.items():
        kind, number = re.fullmatch(r"([a-z_]+)\.(\d+)", key).groups()
        if kind == "tokens":
            new[key] = value
        elif kind in ("logits", "hidden"):
            out = model(old[f"tokens.{number}"][None].long(), use_cache=False, output_hidden_states=True)
            new[key] = out.logits[0, -value.shape[0]:] if kind == "logits" else torch.stack(out.hidden_states)[:, 0]
        elif kind == "greedy":
            steps = old[f"greedy_logits.{number}"].shape[0]
            text, rows = value[:-steps].long(), []
            for _ in range(steps):
                rows.append(model(text[None], use_cache=False).logits[0, -1])
                text = torch.cat([text, rows[-1].argmax()[None]])
            new[key], new[f"greedy_logits.{number}"] = text.to(value.dtype), torch.stack(rows)
    for key, value in old.items():
        if new[key].shape != value.shape or new[key].dtype != value.dtype:
            raise SystemExit(f"{path}: {key} would become {new[key].dtype} {tuple(new[key].shape)}")
        new[key] = new[key].contiguous()
    change = max((new[key] - old[key]).abs().max().item() for key in old if "logits" in key)
    best = torch.cat([value for key, value in new.items() if "logits" in key]).topk(11).values
    print(f"{folder}: logits moved by {change:.3g}; the best leads the eleventh by {(best[:, 0] - best[:, 10]).median():.2f} in the median row",
          flush=True)
    save_file(new, path, metadata=metadata)
    provenance = os.path.join(os.path.dirname(folder), "provenance.json")
    with open(provenance, encoding="utf-8") as file:
        made_by = json.load(file)
    made_by[os.path.basename(folder)] = {"transformers": transformers.__version__, "torch": torch.__version__, "script": "ci/tiny_goldens.py"}
    with open(provenance, "w", encoding="utf-8") as file:
        file.write(json.dumps(made_by, indent=1) + "\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="+", metavar="FOLDER")
    parser.add_argument("--keep-weights", action="store_true", help="record goldens of the weights that are there")
    args = parser.parse_args()
    torch.set_float32_matmul_precision("highest")
    for folder in map(os.path.abspath, args.folders):
        if not args.keep_weights:
            new_weights(folder)
        record(folder)


if __name__ == "__main__":
    main()
