#!/usr/bin/env bash
# llama.cpp beside the engine of this tree: decode and prompts of the nano models as float32 GGUF, one table, each by
# its own clock, which the host's is held against. Usage: bench/peers/llama_cpp.sh ASSAY [ARGUMENTS OF llama_cpp.py]
# Needs a Python with the wheel cyllama: ASSAY_LLAMA_PYTHON, or build/llama of `ci/run.sh llama`.
set -eu
assay=$(realpath "$1")
shift
root=$(cd "$(dirname "$0")/../.." && pwd)
python=${ASSAY_LLAMA_PYTHON:-$root/build/llama/bin/python}
"$python" -c 'import cyllama' || { echo "no llama.cpp: ci/run.sh llama installs it"; exit 4; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
models=
for model in qwen3-nano gemma4-nano; do
  python3 "$root/suites/adapters/to_gguf.py" "$root/suites/fixtures/models/$model" "$work/$model.gguf"
  models+=${models:+,}$work/$model.gguf
done
rows=(--model "$models" --dtype fp32 --what decode,prefill --prompt "${ASSAY_PEER_PROMPT:-256,4x64}" --n "${ASSAY_PEER_N:-1,8,32}" --ctx "${ASSAY_PEER_CTX:-256}" --seconds 2)
threads=${OMP_NUM_THREADS:-1}
export OMP_NUM_THREADS=$threads
for system in "'$python' '$root/suites/adapters/llama_cpp.py' --swa-full --threads $threads $*" "'$assay' serve"; do
  "$assay" bench "${rows[@]}" --system "$system" --report "$work/report.json" >"$work/said" || tail -3 "$work/said"
  "$python" - "$work/report.json" <<'EOF'
import json, sys
report = json.load(open(sys.argv[1]))
name = report["environment"]["system"]["name"]
for row in report["benchmarks"]:
    figures, axes = row.get("figures"), row["axes"]
    speed = "no speed: " + row.get("reason", "") if not figures else \
        f"{1e3 * figures['p50_s']:9.3f} ms  {figures['rate']:10.0f} token/s"
    shape = " ".join(f"{key}={axes[key]}" for key in ("n", "context", "prompts", "tokens") if key in axes)
    print(f"{axes['model']:18} {row['name']:8} {shape:22} {name:14} {speed}")
EOF
done
