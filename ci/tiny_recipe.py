"""Values of the random weights that the tiny Gemma 4 fixtures have: as data, by what a tensor is for.

They aim at decisive logits. Sixteen-bit arithmetic leaves an argmax open where noise can turn round more than the ten best tokens, and deep in
a small random decoder noise is amplified most by steep attention, by a router whose near-ties carry weight, and by layer scalars that let the
newest layer drown the rest. So attention is calmer, the router flatter and the decay gentler than a plain random model's, and every sublayer
still adds a part of unit rms, so that a fault in any of them moves logits by as much as before.
"""
import math
import zlib

LOGIT_STD = 5.0   # spread of the logits; a softcap of 30 is far
SCORE_STD = 0.9   # attention scores: neither uniform nor one key
ROUTER_STD = 3.0  # router logits
DECAY = 0.6       # layer scalars multiply to exp(-DECAY) over the whole depth
SIDE_PART = 0.3   # rms of what experts add before the common norm, and per-layer embeddings to the stream
SPREAD = 0.2      # of norm weights, relative
SEED = 1          # added to what the fixture's name gives
KEY_COLUMNS = 16  # largest over smallest column of a key projection whose keys are values too: see `columns`

# Names of the GGUF files, as the Hugging Face name's last part has it. Others are vectors around 1, or matrices with products of unit rms.
GGUF_NAMES = {
    "token_embd": "embed_tokens", "output_norm": "norm", "per_layer_token_embd": "embed_tokens_per_layer",
    "per_layer_model_proj": "per_layer_model_projection", "inp_gate": "per_layer_input_gate", "attn_q_norm": "q_norm", "attn_k_norm": "k_norm",
    "attn_k": "k_proj", "post_norm": "post_per_layer_input_norm", "post_ffw_norm_2": "post_feedforward_layernorm_2", "ffn_gate_inp": "router",
    "ffn_gate_inp.scale": "router_scale", "layer_output_scale": "layer_scalar",
}


def recipe(part, shape, hidden, layers, per_layer_width):
    """Mean and standard deviation. `shape` ends with the inputs of a matrix."""
    residual = math.sqrt((3 if per_layer_width else 2) * layers)
    embedding = residual / hidden  # the input token's own logit is then one standard deviation of the others
    table = {
        "embed_tokens": (0, embedding),
        # Negative: a tied head favours the input's own row, and greedy text would repeat one token for ever.
        "norm": (-LOGIT_STD / (embedding * math.sqrt(hidden)), SPREAD * LOGIT_STD / (embedding * math.sqrt(hidden))),
        "embed_tokens_per_layer": (0, 1 / math.sqrt(per_layer_width or 1)),
        "per_layer_model_projection": (0, 8 / math.sqrt(hidden)),  # a norm follows; this keeps it well above its epsilon
        "per_layer_input_gate": (0, 1 / (residual * math.sqrt(hidden))),  # reads the stream without a norm
        "post_per_layer_input_norm": (SIDE_PART, SPREAD * SIDE_PART),
        "post_feedforward_layernorm_2": (SIDE_PART, SPREAD * SIDE_PART),
        "q_norm": (math.sqrt(SCORE_STD / math.sqrt(shape[-1])), SPREAD * math.sqrt(SCORE_STD / math.sqrt(shape[-1]))),
        "router": (0, ROUTER_STD / math.sqrt(hidden)),
        "router_scale": (math.sqrt(hidden), SPREAD * math.sqrt(hidden)),
        "layer_scalar": (math.exp(-DECAY / layers), 0.02),
    }
    table["k_norm"] = table["q_norm"]
    return table.get(part, (1, SPREAD) if len(shape) == 1 else (0, 1 / math.sqrt(shape[-1])))


def columns(part, inputs, key_is_value):
    """Factors of a matrix's columns. Unequal ones make the rms of a projection differ from token to token: where keys are values too, a value
    that is not normed then shows."""
    if part != "k_proj" or not key_is_value:
        return [1.0] * inputs
    return [KEY_COLUMNS ** (i / (inputs - 1) - 0.5) for i in range(inputs)]


def seed_of(name):
    return SEED + zlib.crc32(name.encode())
