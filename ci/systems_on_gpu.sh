#!/usr/bin/env bash
# Hugging Face transformers as the system under test on a GPU machine: both nano models and a checkpoint of E2B geometry
# with made-up weights, in float32 and bf16, batches with left padding against sessions alone and against the reference.
# Needs PyTorch and transformers 5.17 or later in python3 (ASSAY_PYTHON names another), and a build with CUDA for the
# reference of the larger model. Reports go to FOLDER.
# Usage: ci/systems_on_gpu.sh ASSAY FOLDER [LAYERS OF E2B, default 10]
set -u
assay=$(realpath "$1")
mkdir -p "$2" && out=$(realpath "$2")
layers=${3:-10}
root=$(cd "$(dirname "$0")/.." && pwd)
python=${ASSAY_PYTHON:-python3}
device=$("$python" -c 'import torch; print("cuda" if torch.cuda.is_available() else "cpu")') || exit 4
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
adapter="'$python' '$root/suites/adapters/transformers_engine.py' --device $device"
suites=Declaration,Golden,Prefill,Decode,BatchedDecode,Schedule,Invariance
code=0

# judged NAME MODEL: what the adapter gives in both modes; red cases are printed.
judged() {
  "$assay" run --model "$2" --dtype "${ASSAY_DTYPES:-fp32,bf16}" --suite "${ASSAY_SUITES:-$suites}" --system "$adapter" \
    --system-timeout 120 --report "$out/$1.json.gz" >"$out/$1.txt" 2>&1 || code=1
  grep -E -A2 '^(fail|error)|^assay' "$out/$1.txt" | cut -c1-300 | head -40
  grep -E -B9 '^report:' "$out/$1.txt"
}

"$assay" system-check --system "$adapter" --model qwen3-nano | tail -1
judged transformers-nano gemma4-nano,qwen3-nano
if [ "$layers" -gt 0 ]; then
  "$python" "$root/ci/transformers_goldens.py" --model e2b --layers "$layers" --out "$work/e2b-geometry" >"$out/e2b.log" 2>&1 &&
    ASSAY_SUITES=${ASSAY_SUITES:-Golden,Prefill,BatchedDecode,Invariance} judged transformers-e2b "$work/e2b-geometry" ||
    { tail -3 "$out/e2b.log"; code=1; }
fi
"$assay" bench --model gemma4-nano --dtype fp32 --n 1,8,32 --ctx 256 --seconds 2 --system "$adapter" --report "$out/transformers-bench.json.gz"
"$assay" bench --model gemma4-nano --dtype fp32 --n 1,8,32 --ctx 256 --seconds 2 --report "$out/own-bench.json.gz"
exit $code
