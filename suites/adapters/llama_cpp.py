"""llama.cpp as a system under test, through the cyllama wheel of PyPI or any libllama that it is built with.

    assay run --system 'python3 suites/adapters/llama_cpp.py' --model FILE.gguf

Sharpest by default: keys and values in float32, no flash attention, one thread. Options say otherwise.
"""
import argparse
import os
import struct

import cyllama
from cyllama.llama import llama_cpp as ll

import assay_adapter

parser = argparse.ArgumentParser()
parser.add_argument("--threads", type=int, default=1)
parser.add_argument("--cache", choices=["fp32", "fp16"], default="fp32", help="type of keys and values")
parser.add_argument("--flash", action="store_true", help="flash attention")
parser.add_argument("--swa-full", action="store_true", help="keep all positions of windowed layers, to go back far")
parser.add_argument("--unified", action="store_true", help="one buffer of keys and values for all sessions")
parser.add_argument("--gpu-layers", type=int, default=0)
options = parser.parse_args()

GGML_TYPES = {"fp32": 0, "fp16": 1}


class Model(ll.LlamaModel):
    n_vocab = 0  # cyllama 0.2.18 asks for it and does not set it


class LlamaCpp(assay_adapter.System):
    name = "llama.cpp"
    version = f"ggml {ll.ggml_version()}, cyllama {cyllama.__version__}"
    commit = ll.ggml_commit()
    build = "cuda" if ll.llama_supports_gpu_offload() else "cpu"
    device = "cuda" if options.gpu_layers > 0 else "cpu"
    capabilities = {**assay_adapter.System.capabilities, "fork": True, "truncate": True,
                    "raw_logits": "its graph ends with the softcap"}

    model = path = context = None

    def load(self, model, precision, device, max_sessions, capacity, max_chunk, max_rows, **more):
        if precision != "fp32":
            raise assay_adapter.Refusal("unsupported", f"what it rounds follows from the file, not from a mode: {precision}")
        if not model.endswith(".gguf") or not os.path.exists(model):
            raise assay_adapter.Refusal("unsupported", "it reads GGUF files")
        self.context = None
        if model != self.path:
            params = ll.LlamaModelParams()
            params.n_gpu_layers = options.gpu_layers
            self.model, self.path = Model(model, params, verbose=False), model
        self.vocab = self.model.n_vocab = vocabulary(model) or self.model.get_vocab().n_vocab
        c = ll.LlamaContextParams()
        c.n_seq_max = max_sessions
        c.n_ctx = capacity * max_sessions if options.unified else (capacity + 255) // 256 * 256 * max_sessions
        c.n_batch = c.n_ubatch = max(max_rows, 32)
        c.n_threads = c.n_threads_batch = options.threads
        c.type_k = c.type_v = GGML_TYPES[options.cache]
        c.flash_attn_type = 1 if options.flash else 0
        c.swa_full = options.swa_full
        c.kv_unified = options.unified
        self.context = ll.LlamaContext(self.model, c, verbose=False)
        self.batch = ll.LlamaBatch(n_tokens=max(max_rows, 32), embd=0, n_seq_max=1)
        self.lengths = {}
        self.most = max_sessions
        return {"vocab": self.vocab, "operands": "fp32", "activations": "by weight", "cache": options.cache,
                "gelu": "exact" if options.gpu_layers > 0 else "fp16 table"}

    def open(self):
        session = min(set(range(self.most)) - set(self.lengths))
        self.lengths[session] = 0
        return session

    def close(self, session):
        self.context.memory_seq_rm(session, -1, -1)
        del self.lengths[session]

    def length(self, session):
        return self.context.memory_seq_pos_max(session) + 1

    def fork(self, session):
        copy = self.open()
        self.context.memory_seq_cp(session, copy, -1, -1)
        self.lengths[copy] = self.lengths[session]
        return copy

    def can_truncate(self, session, length):
        first = self.context.memory_seq_pos_min(session)
        if length > 0 and first > 0:
            raise assay_adapter.Refusal("input", f"the windowed cache has let go of the positions before {first}")

    def truncate(self, session, length):
        if not self.context.memory_seq_rm(session, length, -1):
            raise assay_adapter.Refusal("input", f"the cache cannot forget from {length} on")
        self.lengths[session] = length

    def step(self, feeds):
        self.batch.reset()
        wanted = []
        for feed in feeds:
            session, tokens, want = feed["session"], feed["tokens"], feed["want"]
            start = self.lengths[session]
            for i, token in enumerate(tokens):
                logits = want == "all" or (want == "last" and i == len(tokens) - 1)
                if logits:
                    wanted.append(self.batch.n_tokens)
                self.batch.add(token, start + i, [session], logits)
        self.context.decode(self.batch)
        for feed in feeds:
            self.lengths[feed["session"]] += len(feed["tokens"])
        return [self.row(i) for i in wanted]

    def row(self, index):
        row = self.context.get_logits_ith(index)
        return row if hasattr(row, "argmax") else struct.pack(f"{self.vocab}f", *row)


def vocabulary(path):
    """Rows of the embedding table: a file without a tokenizer has no other number."""
    with open(path, "rb") as file:
        reader = Reader(file)
        tensors, keys = reader.header()
        for _ in range(keys):
            reader.skip_pair()
        for _ in range(tensors):
            name, dims = reader.tensor()
            if name == "token_embd.weight":
                return dims[1]
    return None


class Reader:
    """Enough of GGUF to find the embedding's shape."""
    SIZES = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}

    def __init__(self, file):
        self.file = file

    def take(self, form):
        return struct.unpack("<" + form, self.file.read(struct.calcsize("<" + form)))

    def header(self):
        self.file.seek(8)
        return self.take("QQ")

    def text(self):
        return self.file.read(self.take("Q")[0]).decode()

    def skip(self, kind):
        if kind == 8:
            self.text()
        elif kind == 9:
            inner, count = self.take("IQ")
            for _ in range(count):
                self.skip(inner)
        else:
            self.file.seek(self.SIZES[kind], 1)

    def skip_pair(self):
        self.text()
        self.skip(self.take("I")[0])

    def tensor(self):
        name = self.text()
        dims = self.take("Q" * self.take("I")[0])
        self.take("IQ")
        return name, dims


if __name__ == "__main__":
    ll.disable_logging()
    ll.ggml_backend_load_all()
    assay_adapter.serve(LlamaCpp())
