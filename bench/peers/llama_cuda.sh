#!/usr/bin/env bash
# llama.cpp beside the engine of this tree on one GPU: both read the same files, of a real geometry with random weights,
# and are timed in turn. Prints one table; OUT, an empty folder, keeps it as table.json with where it comes from, and
# what both have said.
# Usage: bench/peers/llama_cuda.sh ASSAY OUT [FOLDER of llama-batched-bench and llama-bench; without it the path]
# Needs a GPU, llama.cpp built with CUDA, python3 with numpy, and room for a file of each type. Exit code 4: one is
# missing, and which. Two rounds of gemma4-e4b in bf16 take three minutes on an H200; Q8_0 takes more. Settings:
#   ASSAY_PEER_MODEL    gemma4-e4b, or another Gemma 4 without experts that `assay inspect` knows
#   ASSAY_PEER_TYPES    "bf16 q8_0": types of the files; llama.cpp's cache is f16, this engine's mode is bf16
#   ASSAY_PEER_N, _CTX, _PROMPT    1,8,32 sessions at 512 tokens; prompts of 512,2048
#   ASSAY_PEER_STEPS    32,160: llama.cpp is timed over the steps between, since its first ones record a graph
#   ASSAY_PEER_ROUNDS   2; from the second on, rows of this engine rest on what the first one's cases have shown
#   ASSAY_PEER_SECONDS  1, for each row of this engine
#   ASSAY_PEER_LLAMA    more options for both programs: "-ot per_layer_token_embd.weight=CUDA0"
#   ASSAY_PEER_WORK     where the files are made, and removed from: /dev/shm if E4B's two, 22 GiB, fit, or TMPDIR
#   ASSAY_PEER_DEVICE   cuda, the first of CUDA_VISIBLE_DEVICES; host tries the script out
#   ASSAY_PEER_PYTHON   python3
set -eu
assay=$(realpath "$1")
mkdir -p "$2" && out=$(realpath "$2")
# All but what is written anew before anything is timed would come into the table.
if ls -A "$out" | grep -qvx 'gpu.csv\|llama-version.txt'; then
  echo "$out: expected an empty folder" >&2
  exit 2
fi
rm -f "$out/gpu.csv"
folder=${3:-}
peers=$(cd "$(dirname "$0")" && pwd)
model=${ASSAY_PEER_MODEL:-gemma4-e4b}
types=${ASSAY_PEER_TYPES:-bf16 q8_0}
sessions=${ASSAY_PEER_N:-1,8,32}
context=${ASSAY_PEER_CTX:-512}
prompts=${ASSAY_PEER_PROMPT:-512,2048}
steps=${ASSAY_PEER_STEPS:-32,160}
device=${ASSAY_PEER_DEVICE:-cuda}
python=${ASSAY_PEER_PYTHON:-python3}
read -ra more <<<"${ASSAY_PEER_LLAMA:-}"

missing() { echo "$1" >&2 && exit 4; }
program() {
  command -v "${folder:+$folder/}$1" || missing "no $1 ${folder:+in }${folder:-on the path}: is llama.cpp built?"
}
batched=$(program llama-batched-bench)
single=$(program llama-bench)
"$python" -c 'import numpy' 2>/dev/null || missing "no $python with numpy: ASSAY_PEER_PYTHON names another"
layers=0
if [ "$device" = cuda ]; then
  layers=99
  export CUDA_DEVICE_ORDER=PCI_BUS_ID  # as nvidia-smi counts
  CUDA_VISIBLE_DEVICES=${CUDA_VISIBLE_DEVICES:-0}
  export CUDA_VISIBLE_DEVICES=${CUDA_VISIBLE_DEVICES%%,*}  # llama.cpp would spread layers over all
  ask=(nvidia-smi -i "$CUDA_VISIBLE_DEVICES" --format=csv,noheader,nounits)
  "${ask[@]}" --query-gpu=name,driver_version,clocks.max.sm,clocks.max.mem,power.limit >"$out/gpu.csv" 2>&1 ||
    missing "no GPU: nvidia-smi says: $(head -1 "$out/gpu.csv")"
  "$batched" --list-devices 2>&1 | grep -q CUDA || missing "$batched sees no GPU: was it built with CUDA?"
fi
"$batched" --version >"$out/llama-version.txt" 2>&1

room=$(df --output=avail -BG /dev/shm 2>/dev/null | tr -dc '0-9\n' | tail -1)
[ "${room:-0}" -ge 24 ] && memory=/dev/shm || memory=${TMPDIR:-/tmp}
work=$(mktemp -d -p "${ASSAY_PEER_WORK:-$memory}")
sampler= jobs=()
trap 'kill $sampler "${jobs[@]}" 2>/dev/null || :; rm -rf "$work"' EXIT
for type in $types; do
  "$python" "$peers/random_gguf.py" "$assay" "$model" "$type" "$work/$model-$type.gguf" &
  jobs+=($!)
done
for job in "${jobs[@]}"; do wait "$job"; done

# keep FILE COMMAND...: what it prints in FILE, its messages in FILE.log, their end on the screen when it fails.
keep() {
  "${@:2}" >"$1" 2>"$1.log" || { tail -3 "$1.log" >&2 && return 1; }
}
# Room for the longest text of each session, which llama.cpp rounds up to 256.
most=$(tr , '\n' <<<"$sessions" | sort -n | tail -1)
longest=$((context + $(tr , '\n' <<<"$steps" | sort -n | tail -1)))
llama=(-ngl "$layers" -fa on -b 2048 -ub 2048 "${more[@]}")
decode=(-c $((most * ((longest + 255) / 256 * 256))) -npp "$context" -ntg "$steps" -npl "$sessions"
  --output-format jsonl)
rows=(--device "$device" --dtype bf16 --what decode,prefill --n "$sessions" --ctx "$context" --prompt "$prompts"
  --seconds "${ASSAY_PEER_SECONDS:-1}")
for type in $types; do
  file=$work/$model-$type.gguf
  evidence=()
  for ((round = 1; round <= ${ASSAY_PEER_ROUNDS:-2}; ++round)); do
    name=$out/$type-$round
    if [ "$device" = cuda ]; then
      "${ask[@]}" --query-gpu=clocks.sm,clocks.mem,power.draw,temperature.gpu -lms 100 >"$name.clocks.csv" &
      sampler=$!
    fi
    keep "$name.batched.jsonl" "$batched" -m "$file" "${llama[@]}" "${decode[@]}"
    keep "$name.llama-bench.json" "$single" -m "$file" "${llama[@]}" -p "$prompts" -n 0 -o json
    [ -z "$sampler" ] || { kill "$sampler" || :; sampler=; }
    # A row without a speed says why in the table; the next round's rows rest on nothing then.
    report=$name.assay.json.gz
    if keep "$name.assay.txt" "$assay" bench --model "$file" "${rows[@]}" "${evidence[@]}" --report "$report"; then
      [ ${#evidence[@]} -gt 0 ] || evidence=(--evidence "$report")
    else
      echo "assay bench, $type, round $round: $(tail -1 "$name.assay.txt")" >&2
    fi
  done
done
"$python" "$peers/llama_table.py" "$out" "$model"
