#!/usr/bin/env bash
# Hugging Face transformers as the system under test on a GPU machine: both nano models and a checkpoint of E2B geometry
# with made-up weights, in float32 and bf16, batches with left padding against sessions alone and against the reference,
# all at once: the adapter spends its time in Python. Then both nano models are timed.
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

# judged NAME MODEL MODE: what the adapter gives.
judged() {
  "$assay" run --model "$2" --dtype "$3" --suite "$suites" --system "$adapter" \
    --system-timeout 120 --report "$out/$1-$3.json.gz" >"$out/$1-$3.txt" 2>&1
}

# judged_e2b: the same of a checkpoint that transformers makes first.
judged_e2b() {
  "$python" "$root/ci/transformers_goldens.py" --model e2b --layers "$layers" --out "$work/e2b-geometry" \
    >"$out/e2b.log" 2>&1 || { tail -3 "$out/e2b.log"; return 1; }
  suites=Golden,Prefill,BatchedDecode,Invariance
  judged e2b "$work/e2b-geometry" fp32 &
  local other=$! red=0
  judged e2b "$work/e2b-geometry" bf16 || red=1
  wait "$other" && return "$red"
}

"$assay" system-check --system "$adapter" --model qwen3-nano | tail -1
for model in gemma4-nano qwen3-nano; do
  for mode in fp32 bf16; do judged $model $model $mode & done
done
[ "$layers" -eq 0 ] || judged_e2b &
for job in $(jobs -p); do wait "$job" || code=1; done
for text in "$out"/*.txt; do
  grep -E -A2 '^(fail|error)|^assay' "$text" | cut -c1-300 | head -40
  grep -E -B9 '^report:' "$text"
done
"$assay" bench --model gemma4-nano --dtype fp32 --n 1,8,32 --ctx 256 --seconds 2 --system "$adapter" --report "$out/transformers-bench.json.gz"
"$assay" bench --model gemma4-nano --dtype fp32 --n 1,8,32 --ctx 256 --seconds 2 --report "$out/own-bench.json.gz"
exit $code
