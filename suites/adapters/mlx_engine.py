"""mlx-lm on a CPU or GPU as a system under test: pip install 'mlx[cpu]' mlx-lm, or 'mlx[cuda12]' mlx-lm.

    assay run --system 'python3 suites/adapters/mlx_engine.py' --model gemma4-nano,qwen3-nano

Feeds of as many tokens share a call of the model: their caches are merged for it and taken apart again.
"""
import copy
import os

import mlx.core as mx
import numpy
from mlx_lm.models.cache import make_prompt_cache
from mlx_lm.utils import load_model
from pathlib import Path

import assay_adapter

TYPES = {"fp32": mx.float32, "fp16": mx.float16, "bf16": mx.bfloat16}


class Mlx(assay_adapter.System):
    name = "mlx-lm"
    version = f"mlx {mx.__version__}"
    device = "cuda" if mx.default_device() == mx.gpu else "cpu"
    precisions = ["fp32", "bf16", "fp16"]
    capabilities = {**assay_adapter.System.capabilities, "fork": True, "truncate": True,
                    "raw_logits": "its models end with the softcap"}

    def load(self, model, precision, device, max_sessions, capacity, max_chunk, max_rows, **more):
        if precision not in TYPES:
            raise assay_adapter.Refusal("unsupported", f"{', '.join(TYPES)} are its modes, not {precision}")
        if not os.path.isdir(model):
            raise assay_adapter.Refusal("unsupported", "it reads Hugging Face folders")
        try:
            self.model, config = load_model(Path(model))
        except (ValueError, KeyError, TypeError) as error:
            raise assay_adapter.Refusal("unsupported", f"mlx-lm does not load it: {error}") from error
        self.model.set_dtype(TYPES[precision])
        mx.eval(self.model.parameters())
        self.sessions, self.lengths, self.last = {}, {}, 0
        return {"vocab": config["vocab_size"], "operands": precision}

    def open(self):
        self.last += 1
        self.sessions[self.last], self.lengths[self.last] = make_prompt_cache(self.model), 0
        return self.last

    def close(self, session):
        del self.sessions[session], self.lengths[session]

    def length(self, session):
        return self.lengths[session]

    def fork(self, session):
        twin = self.open()
        self.sessions[twin], self.lengths[twin] = copy.deepcopy(self.sessions[session]), self.lengths[session]
        return twin

    def can_truncate(self, session, length):
        if not all(cache.is_trimmable() for cache in self.sessions[session]):
            raise assay_adapter.Refusal("input", "a rotating cache that has turned cannot go back")

    def truncate(self, session, length):
        for cache in self.sessions[session]:
            cache.trim(self.lengths[session] - length)
        self.lengths[session] = length

    def step(self, feeds):
        rows = assay_adapter.by_length(feeds, self.together)
        for feed in feeds:
            self.lengths[feed["session"]] += len(feed["tokens"])
        return rows

    def together(self, feeds):
        """Logits [feed, token, vocabulary] of feeds of as many tokens."""
        caches = [self.sessions[feed["session"]] for feed in feeds]
        alone = len(feeds) == 1
        used = caches[0] if alone else [type(layer[0]).merge(list(layer)) for layer in zip(*caches)]
        logits = self.model(mx.array([feed["tokens"] for feed in feeds]), cache=used).astype(mx.float32)
        mx.eval(logits)
        if not alone:
            for i, feed in enumerate(feeds):
                self.sessions[feed["session"]] = [layer.extract(i) for layer in used]
        return numpy.array(logits)


if __name__ == "__main__":
    assay_adapter.serve(Mlx())
