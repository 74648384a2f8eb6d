"""Hugging Face transformers, eager, on a CPU or GPU as a system under test: pip install torch transformers.

    assay run --system 'python3 suites/adapters/transformers_engine.py' --model gemma4-nano,qwen3-nano

Feeds of as many tokens share a call of the model: a batch whose caches are padded on the left, as its own generation
pads prompts. What each session's cache holds is cut out of the batch again.
"""
import argparse
import os

import numpy
import torch
import transformers
from transformers import AutoModelForCausalLM, DynamicCache

import assay_adapter

parser = argparse.ArgumentParser()
parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
parser.add_argument("--threads", type=int, default=1)
options = parser.parse_args()
TYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}


class Transformers(assay_adapter.System):
    name = "transformers"
    version = f"transformers {transformers.__version__}, torch {torch.__version__}"
    device = options.device
    precisions = ["fp32", "bf16"]
    capabilities = {**assay_adapter.System.capabilities, "fork": True, "truncate": True,
                    "raw_logits": "its models end with the softcap"}
    path = None

    def load(self, model, precision, device, max_sessions, capacity, max_chunk, max_rows, **more):
        if not os.path.isdir(model):
            raise assay_adapter.Refusal("unsupported", "it reads Hugging Face folders")
        if precision not in TYPES:
            raise assay_adapter.Refusal("unsupported", f"bf16 and fp32 are its modes, not {precision}")
        if (model, precision) != self.path:
            self.model = AutoModelForCausalLM.from_pretrained(model, dtype=TYPES[precision], attn_implementation="eager")
            self.model.to(options.device).eval()
            self.path = model, precision
        self.sessions, self.lengths, self.last = {}, {}, 0
        return {"vocab": self.model.config.get_text_config().vocab_size, "operands": precision,
                "stream": "fp32" if precision == "fp32" else "bf16"}

    def open(self):
        self.last += 1
        self.sessions[self.last], self.lengths[self.last] = None, 0
        return self.last

    def close(self, session):
        del self.sessions[session], self.lengths[session]

    def length(self, session):
        return self.lengths[session]

    def fork(self, session):
        copy = self.open()  # tensors are replaced, never written
        self.sessions[copy], self.lengths[copy] = self.sessions[session], self.lengths[session]
        return copy

    def truncate(self, session, length):
        self.sessions[session] = [(k[:, :, :length], v[:, :, :length]) for k, v in self.sessions[session]] if length else None
        self.lengths[session] = length

    def step(self, feeds):
        rows = assay_adapter.by_length(feeds, self.together)
        for feed in feeds:
            self.lengths[feed["session"]] += len(feed["tokens"])
        return rows

    @torch.no_grad()
    def together(self, feeds):
        """Logits [feed, token, vocabulary] of feeds of as many tokens."""
        where = {"device": options.device}
        caches = [self.sessions[feed["session"]] for feed in feeds]
        past = torch.tensor([self.lengths[feed["session"]] for feed in feeds], **where)
        longest, tokens = int(past.max()), torch.tensor([feed["tokens"] for feed in feeds], **where)
        column = torch.arange(longest + tokens.shape[1], **where)
        out = self.model(input_ids=tokens, attention_mask=(column >= longest - past[:, None]).long(),
                         position_ids=past[:, None] + torch.arange(tokens.shape[1], **where),
                         past_key_values=DynamicCache(padded(caches, longest) if longest else None), use_cache=True)
        for i, feed in enumerate(feeds):
            begin = longest - int(past[i])
            self.sessions[feed["session"]] = [(layer.keys[i:i + 1, :, begin:], layer.values[i:i + 1, :, begin:])
                                              for layer in out.past_key_values.layers if layer.keys is not None]
        return numpy.ascontiguousarray(out.logits.float().cpu().numpy())


def padded(caches, longest):
    """Keys and values of all layers, those of shorter sessions behind zeros."""
    first = next(cache for cache in caches if cache is not None)

    def stretch(part, like):
        if part is None:
            return like.new_zeros((1, like.shape[1], longest, like.shape[3]))
        return torch.nn.functional.pad(part, (0, 0, longest - part.shape[2], 0))

    return [tuple(torch.cat([stretch(None if cache is None else cache[layer][half], first[layer][half])
                             for cache in caches]) for half in (0, 1)) for layer in range(len(first))]


if __name__ == "__main__":
    torch.set_num_threads(options.threads)
    torch.backends.cuda.matmul.allow_tf32 = False
    assay_adapter.serve(Transformers())
