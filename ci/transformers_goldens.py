#!/usr/bin/env python3
"""Writes a random checkpoint of a Gemma 4 geometry and what transformers computes for it, for `assay golden`.

    ci/transformers_goldens.py --model e4b --out DIR [--layers N]
    assay golden DIR --device cuda --dtype fp32

The folder gets config.json, model.safetensors (bf16) and goldens.safetensors: float32 logits of the last rows of two sequences, one of
them longer than the sliding window, computed with weights upcast to float32, eager attention and TF32 off. Needs PyTorch, transformers
5.17 or later, accelerate and safetensors; memory: 2 bytes a weight on disk and in host memory, 4 on the devices, and in host memory for layers
that they have no room for. Where the whole depth does not fit, --layers keeps the geometry of each layer and shortens the model.
"""
import argparse
import json
import math
import os
import time

import torch
import transformers
from safetensors.torch import save_file
from transformers import Gemma4ForCausalLM, Gemma4TextConfig

COMMON = dict(vocab_size=262144, vocab_size_per_layer_input=262144, head_dim=256, global_head_dim=512, rms_norm_eps=1e-6,
              tie_word_embeddings=True, final_logit_softcapping=30.0, hidden_activation="gelu_pytorch_tanh", attention_bias=False)
MODELS = {
    "e4b": dict(hidden_size=2560, num_hidden_layers=42, num_attention_heads=8, num_key_value_heads=2, intermediate_size=10240,
                sliding_window=512, num_kv_shared_layers=18, hidden_size_per_layer_input=256, max_position_embeddings=131072),
    "e2b": dict(hidden_size=1536, num_hidden_layers=35, num_attention_heads=8, num_key_value_heads=1, intermediate_size=6144,
                sliding_window=512, num_kv_shared_layers=20, hidden_size_per_layer_input=256, use_double_wide_mlp=True,
                max_position_embeddings=131072),
    "26b-a4b": dict(hidden_size=2816, num_hidden_layers=30, num_attention_heads=16, num_key_value_heads=8, num_global_key_value_heads=2,
                    intermediate_size=2112, sliding_window=1024, hidden_size_per_layer_input=0, attention_k_eq_v=True,
                    enable_moe_block=True, num_experts=128, top_k_experts=8, moe_intermediate_size=704,
                    max_position_embeddings=262144),
}
PERIODS = {"e2b": 5}  # one layer in so many is full; of other models one in six
LOGIT_STD, SCORE_STD, ROUTER_STD = 5.0, 1.4, 5.0  # decisive logits; attention neither uniform nor one key; a light last expert


def make_config(args):
    values = dict(COMMON, **MODELS[args.model])
    layers, period = args.layers or values["num_hidden_layers"], PERIODS.get(args.model, 6)
    # Layers that share keys stay behind at least one layer of each type that owns its keys.
    shared = values.get("num_kv_shared_layers", 0) * layers // values["num_hidden_layers"]
    values["num_kv_shared_layers"] = max(0, min(shared, layers - period))
    values["num_hidden_layers"] = layers
    if args.vocab:
        values["vocab_size"] = values["vocab_size_per_layer_input"] = args.vocab
    values["layer_types"] = ["full_attention" if (i + 1) % period == 0 or i == layers - 1 else "sliding_attention" for i in range(layers)]
    config = Gemma4TextConfig(**values)
    config.architectures = ["Gemma4ForCausalLM"]
    config.dtype = "bfloat16"
    return config


def recipe(name, shape, config):
    """Mean and standard deviation of a tensor's values, so that every sublayer adds a part of unit rms."""
    hidden, layers = config.hidden_size, config.num_hidden_layers
    residual = math.sqrt((3 if config.hidden_size_per_layer_input else 2) * layers)
    embedding = residual / hidden  # the input token's own logit then leads the others' spread by no more than one of them
    part = name.removesuffix(".weight").split(".")[-1]
    if part == "embed_tokens":
        return 0.0, embedding
    if part == "norm":
        return LOGIT_STD / (embedding * math.sqrt(hidden)), None
    if part == "embed_tokens_per_layer":
        return 0.0, 1 / math.sqrt(config.hidden_size_per_layer_input)
    if part == "per_layer_model_projection":
        return 0.0, 8 / math.sqrt(hidden)
    if part == "per_layer_input_gate":
        return 0.0, 1 / (residual * math.sqrt(hidden))
    if part in ("q_norm", "k_norm"):
        return math.sqrt(SCORE_STD / math.sqrt(shape[0])), None
    if part in ("post_per_layer_input_norm", "post_feedforward_layernorm_2"):
        return 0.5, None
    if part == "scale":
        return math.sqrt(hidden), None
    if name.endswith("router.proj.weight"):
        return 0.0, ROUTER_STD / math.sqrt(hidden)
    if part == "layer_scalar":
        return math.exp(-1 / layers), 0.02
    if len(shape) == 1:
        return 1.0, None
    return 0.0, 1 / math.sqrt(shape[-1])


def write_checkpoint(config, args, device):
    with torch.device("meta"):
        shapes = {name: tuple(value.shape) for name, value in Gemma4ForCausalLM(config).state_dict().items()}
    shapes.pop("lm_head.weight", None)  # tied
    generator = torch.Generator(device=device).manual_seed(args.seed)
    tensors = {}
    for name, shape in shapes.items():
        mean, std = recipe(name, shape, config)
        value = torch.empty(shape, dtype=torch.bfloat16, device=device)
        value.normal_(mean, 0.2 * mean if std is None else std, generator=generator)
        tensors[name] = value.cpu()
    save_file(tensors, os.path.join(args.out, "model.safetensors"), metadata={"format": "pt"})
    config.save_pretrained(args.out)
    return sum(math.prod(shape) for shape in shapes.values())


@torch.no_grad()
def write_goldens(config, args, device):
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
    torch.set_float32_matmul_precision("highest")
    where = {} if device == "cpu" else {"device_map": "auto" if device == "cuda" else device}
    if where and args.device_memory:
        where["max_memory"] = {**{i: f"{args.device_memory}GiB" for i in range(torch.cuda.device_count())}, "cpu": "1000GiB"}
    if device != "cpu":
        torch.cuda.empty_cache()  # what writing the checkpoint left
    model, loading = Gemma4ForCausalLM.from_pretrained(args.out, dtype=torch.float32, attn_implementation="eager",
                                                       experts_implementation="eager", output_loading_info=True, **where)
    bad = {kind: keys for kind, keys in loading.items() if keys and kind != "missing_keys" or set(keys) - {"lm_head.weight"}}
    if bad:
        raise SystemExit(f"the checkpoint did not load as written: {bad}")
    model.eval()
    generator = torch.Generator().manual_seed(args.seed + 1)
    tensors = {}
    for i, length in enumerate(args.lengths):
        tokens = torch.randint(0, config.vocab_size, (1, length), generator=generator)
        start = time.time()
        logits = model(tokens.to(device), use_cache=False, logits_to_keep=args.rows).logits[0].float().cpu()
        top = logits.topk(2).values
        print(f"sequence {i}: {length} tokens, {logits.shape[0]} rows, std {logits.std():.2f}, largest {logits.abs().max():.2f}, "
              f"best leads by {(top[:, 0] - top[:, 1]).mean():.2f} on average, {time.time() - start:.1f} s", flush=True)
        tensors[f"tokens.{i}"] = tokens[0].to(torch.int32)
        tensors[f"logits.{i}"] = logits.contiguous()
    made_by = {"transformers": transformers.__version__, "torch": torch.__version__, "dtype": "float32", "seed": str(args.seed),
               "device": torch.cuda.get_device_name() if device != "cpu" else "cpu"}
    save_file(tensors, os.path.join(args.out, "goldens.safetensors"), metadata=made_by)
    with open(os.path.join(args.out, "provenance.json"), "w", encoding="utf-8") as file:
        json.dump(made_by, file)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", choices=sorted(MODELS), default="e4b")
    parser.add_argument("--out", required=True, help="folder to write")
    parser.add_argument("--layers", type=int, default=0, help="keep so many layers; default: all")
    parser.add_argument("--vocab", type=int, default=0, help="a smaller vocabulary, to try the script")
    parser.add_argument("--lengths", type=int, nargs="+", default=None, help="tokens of each sequence; default: 24 and the window + 88")
    parser.add_argument("--rows", type=int, default=8, help="last rows of which logits are kept")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--device-memory", type=int, default=0, help="GiB to take of each device at most; default: what is free")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    args = parser.parse_args()
    config = make_config(args)
    args.lengths = args.lengths or [24, config.sliding_window + 88]
    os.makedirs(args.out, exist_ok=True)
    print(f"{args.model}: {config.num_hidden_layers} of {MODELS[args.model]['num_hidden_layers']} layers, "
          f"{config.num_kv_shared_layers} share keys", flush=True)
    start = time.time()
    count = write_checkpoint(config, args, args.device)
    print(f"checkpoint: {count / 1e9:.2f} G weights, {2 * count / 1e9:.1f} GB in {time.time() - start:.0f} s", flush=True)
    start = time.time()
    write_goldens(config, args, args.device)
    print(f"goldens: {time.time() - start:.0f} s with loading; in float32 the weights take {4 * count / 1e9:.1f} GB", flush=True)


if __name__ == "__main__":
    main()
