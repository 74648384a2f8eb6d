"""The table of llama_cuda.sh, from what it has kept in a folder: printed, and as table.json beside.

    python3 bench/peers/llama_table.py OUT MODEL
"""
import glob
import gzip
import json
import os
import statistics
import sys

CONTAINS = {
    "llama.cpp decode":
        "one token of each of N sequences, drawn by the host: nothing is sampled. Rows of the token and per-layer "
        "embeddings, which llama.cpp leaves to the CPU unless told otherwise; all layers, head, softcap; logits of all "
        "N copied to the host. The mean of the steps between two counts (llama-batched-bench), at texts that much "
        "longer: what only the first do is left out",
    "llama.cpp prefill":
        "one prompt from empty caches, all layers for all tokens, logits of the last token copied to the host; the "
        "median of repeats (llama-bench)"}
SAID = ("backends", "gpu_info", "cpu_info", "n_threads", "type_k", "type_v", "flash_attn", "tensor_buft_overrides")


def lines(path):
    with open(path, encoding="utf-8") as file:
        return file.read().splitlines()


def llama_decode(path):
    """Milliseconds of a step by (row, sessions, context)."""
    runs = {}
    for line in lines(path):
        if line.startswith("{"):
            run = json.loads(line)
            runs.setdefault((run["pl"], run["pp"]), {})[run["tg"]] = run["t_tg"]
    steps = {}
    for (n, context), seconds in runs.items():
        few, many = min(seconds), max(seconds)
        taken = seconds[many] - seconds[few] if many > few else seconds[many]
        steps["decode", n, context] = 1e3 * taken / (many - few or many)
    return steps


def llama_prefill(path):
    """Milliseconds of a prompt by (row, prompts, tokens), and what the program says of itself."""
    with open(path, encoding="utf-8") as file:
        tests = json.load(file)
    return {("prefill", 1, t["n_prompt"]): statistics.median(t["samples_ns"]) / 1e6 for t in tests}, tests[0]


def own(report):
    """Milliseconds by the same keys, or why there are none; what a row contains."""
    times, contains = {}, {}
    for row in report["benchmarks"]:
        axes = row["axes"]
        shape = ("n", "context") if row["name"] == "decode" else ("prompts", "tokens")
        key = (row["name"], *(axes[axis] for axis in shape))
        times[key] = 1e3 * row["figures"]["p50_s"] if "figures" in row else row.get("reason", "no speed")
        contains.setdefault("assay " + row["name"], row.get("contains"))
    return times, contains


def median(values):
    values = [value for value in values if isinstance(value, float)]
    return statistics.median(values) if values else None


def read(folder):
    rows, contains, builds = {}, dict(CONTAINS), {}
    for path in sorted(glob.glob(os.path.join(folder, "*.assay.json.gz"))):
        kept = path.removesuffix(".assay.json.gz")
        kind = os.path.basename(kept).rsplit("-", 1)[0]
        with gzip.open(path, "rt", encoding="utf-8") as file:
            report = json.load(file)
        prefill, said = llama_prefill(kept + ".llama-bench.json")
        theirs = {**llama_decode(kept + ".batched.jsonl"), **prefill}
        ours, texts = own(report)
        contains.update({name: text for name, text in texts.items() if text})
        builds = {"assay": report["environment"]["build"],
                  "llama.cpp": {"version": lines(os.path.join(folder, "llama-version.txt"))[:2],
                                **{key: said.get(key) for key in SAID}}}
        for key in theirs.keys() | ours.keys():
            row = rows.setdefault((kind, *key), {"llama": [], "assay": []})
            row["llama"].append(theirs.get(key, "not timed"))
            row["assay"].append(ours.get(key, "not timed"))
    if not rows:
        raise SystemExit(f"{folder}: no report of assay bench")
    return rows, contains, builds


def table(rows):
    for (kind, what, n, tokens), row in sorted(rows.items()):
        theirs, ours = median(row["llama"]), median(row["assay"])
        made = {"file": kind, "what": what, "n": n, "tokens": tokens, "llama_ms": row["llama"],
                "assay_ms": row["assay"], "ratio": theirs and ours and theirs / ours}
        if what == "prefill":
            made.update({f"{who}_tokens_per_s": time and 1e3 * n * tokens / time
                         for who, time in (("llama", theirs), ("assay", ours))})
        yield made


def printed(row):
    def of(times, rate):
        spread = " ".join(f"{t:.3f}" if isinstance(t, float) else t for t in times) + " ms"
        return spread + (f" {rate:9.0f} token/s" if rate else "")
    shape = f"N={row['n']}, context {row['tokens']}" if row["what"] == "decode" else f"{row['tokens']} tokens"
    ratio = f"{row['ratio']:.2f}" if row["ratio"] else "-"
    return f"{row['file']:5} {row['what']:8} {shape:18} {of(row['llama_ms'], row.get('llama_tokens_per_s')):38}" \
           f" {of(row['assay_ms'], row.get('assay_tokens_per_s')):38} {ratio:>5}"


def clocks(folder):
    """Median and highest under llama.cpp, loading included; a report of Assay has its own."""
    names = ("sm_clock_mhz", "memory_clock_mhz", "power_w", "temperature_c")
    samples = [line.split(", ") for path in glob.glob(os.path.join(folder, "*.clocks.csv")) for line in lines(path)]
    whole = [sample for sample in samples if len(sample) == len(names) and "[" not in "".join(sample)]
    columns = zip(*([float(field) for field in sample] for sample in whole))
    return {name: [statistics.median(column), max(column)] for name, column in zip(names, columns)}


def main():
    folder, model = sys.argv[1:]
    rows, contains, builds = read(folder)
    made = {"model": model, "gpu": {}, "clocks_under_llama": clocks(folder), "builds": builds,
            "rows": list(table(rows)), "contains": contains}
    gpu = os.path.join(folder, "gpu.csv")
    if os.path.exists(gpu):
        names = ("name", "driver", "max_sm_clock_mhz", "max_memory_clock_mhz", "power_limit_w")
        made["gpu"] = dict(zip(names, lines(gpu)[0].split(", ")))
        if "CUDA" not in builds["llama.cpp"]["backends"]:
            raise SystemExit(f"llama.cpp ran on {builds['llama.cpp']['backends']}, not on the GPU")
    with open(os.path.join(folder, "table.json"), "w", encoding="utf-8") as file:
        json.dump(made, file, indent=1)
        file.write("\n")
    print(f"{model}, random weights, {made['gpu'].get('name', 'host')}; ratio: llama.cpp's time over this engine's")
    print(f"{'file':5} {'row':27} {'llama.cpp':38} {'assay':38} ratio")
    for row in made["rows"]:
        print(printed(row))
    for name, text in contains.items():
        print(f"{name}: {text}")


if __name__ == "__main__":
    main()
