#!/usr/bin/env bash
# bench/peers without a GPU. Files of random weights are Gemma 4 models: the engine passes its suites on them, and so does
# llama.cpp where cyllama is installed. The script's table is right for what llama.cpp's programs printed once (ggml
# 0.25.3, a CPU, shortened). Needs numpy. Usage: ci/peer_checks.sh ASSAY
set -u
. "$(dirname "$0")/expect.sh"
root=$(cd "$(dirname "$0")/.." && pwd)
find_python numpy || missing 'python3 with numpy'
llama=${ASSAY_LLAMA_PYTHON:-$root/build/llama/bin/python}
export OMP_WAIT_POLICY=passive PYTHONDONTWRITEBYTECODE=1

models=
for model in tiny-gemma4-ple:bf16 tiny-gemma4-keqv:q8_0 gemma4-nano:q8_0; do
  file=$work/${model/:/-}.gguf
  "$python" "$root/bench/peers/random_gguf.py" "$assay" "${model%:*}" "${model#*:}" "$file" || bad "no file of $model"
  models+=${models:+,}$file
done
expect 0 'PASS' run --model "$models" --device host --dtype bf16 --suite Prefill,Decode
if "$llama" -c 'import cyllama' 2>/dev/null; then
  expect 0 'PASS' run --model "$models" --suite Declaration,BatchedDecode --system "'$llama' '$root/suites/adapters/llama_cpp.py'"
fi
"$python" "$root/bench/peers/random_gguf.py" "$assay" tiny-gemma4-ple q8_0 "$work/no.gguf" 2>&1 | grep -q 'rows of whole blocks' ||
  bad 'Q8_0 of rows that are not whole blocks'
"$python" "$root/bench/peers/random_gguf.py" "$assay" qwen3-nano bf16 "$work/no.gguf" 2>&1 | grep -q 'expected a Gemma 4' ||
  bad 'a file of another family'

# Programs that print what llama.cpp's did.
mkdir "$work/bin"
cat >"$work/bin/llama-batched-bench" <<'EOF2'
#!/bin/sh
[ "$1" = --version ] && echo 'version: 0 (0c1e57098)' && exit
cat <<'END'
{"n_kv_max": 1536, "n_gpu_layers": 0, "pp": 8, "tg": 2, "pl": 1, "n_kv": 10, "t_pp": 0.000835, "t_tg": 0.000288, "t": 0.001123}
{"n_kv_max": 1536, "n_gpu_layers": 0, "pp": 8, "tg": 2, "pl": 2, "n_kv": 20, "t_pp": 0.000814, "t_tg": 0.000362, "t": 0.001176}
{"n_kv_max": 1536, "n_gpu_layers": 0, "pp": 8, "tg": 6, "pl": 1, "n_kv": 14, "t_pp": 0.000437, "t_tg": 0.000607, "t": 0.001044}
{"n_kv_max": 1536, "n_gpu_layers": 0, "pp": 8, "tg": 6, "pl": 2, "n_kv": 28, "t_pp": 0.000828, "t_tg": 0.000860, "t": 0.001688}

END
EOF2
cat >"$work/bin/llama-bench" <<'EOF2'
#!/bin/sh
echo '[{"backends": "CPU", "gpu_info": "", "cpu_info": "Intel(R) Xeon(R) Processor", "n_prompt": 8, "n_gen": 0,
"samples_ns": [ 373638, 440555, 511786, 353174, 352492 ]}]'
EOF2
chmod +x "$work/bin/"*
beside() { env ASSAY_PEER_DEVICE=host ASSAY_PEER_PYTHON="$python" ASSAY_PEER_WORK="$work" "$@" 2>&1; }
small=(ASSAY_PEER_MODEL=tiny-gemma4-keqv ASSAY_PEER_N=1,2 ASSAY_PEER_CTX=8 ASSAY_PEER_PROMPT=8 ASSAY_PEER_STEPS=2,6 ASSAY_PEER_SECONDS=0.02)
beside "${small[@]}" "$root/bench/peers/llama_cuda.sh" "$assay" "$work/out" "$work/bin" >"$work/said" || bad "llama_cuda.sh: $(cat "$work/said")"
# Of one session four steps took 0.607 - 0.288 ms. The middle of five prompts took 0.374 ms.
for row in 'bf16  decode   N=1, context 8 *0.080 0.080 ms' 'q8_0  decode   N=2, context 8 *0.12[45] 0.12[45] ms' \
  'bf16  prefill  8 tokens *0.374 0.374 ms *21411 token/s'; do
  grep -qE "$row .*[0-9]\.[0-9]{3} ms.* [0-9]+\.[0-9]{2}$" "$work/said" || bad "no row '$row' in the table: $(cat "$work/said")"
done
grep -q 'assay decode: one replay of the recorded step' "$work/said" || bad 'the table does not say what a step contains'
"$python" -c 'import json, sys
rows = json.load(open(sys.argv[1]))["rows"]
assert len(rows) == 6 and all(row["ratio"] > 0 for row in rows), rows' "$work/out/table.json" || bad 'table.json'
for type in bf16 q8_0; do
  "$assay" validate --require-pass "$work/out/$type-2.assay.json.gz" >/dev/null || bad "the second report of $type does not hold"
done

# What is missing is said, with exit code 4.
refused() {
  local said
  said=$(beside "$@")
  [ $? -eq 4 ] && grep -qF "$text" <<<"$said" || bad "expected exit 4 and '$text', found: $said"
}
text="no llama-bench in $work: is llama.cpp built?"
cp "$work/bin/llama-batched-bench" "$work" && refused "$root/bench/peers/llama_cuda.sh" "$assay" "$work/none" "$work"
text='no GPU'
for _ in 1 2; do  # the first leaves its attempt to ask for a GPU behind
  nvidia-smi -L >/dev/null 2>&1 || refused ASSAY_PEER_DEVICE=cuda "$root/bench/peers/llama_cuda.sh" "$assay" "$work/none" "$work/bin"
done
beside "$root/bench/peers/llama_cuda.sh" "$assay" "$work/out" "$work/bin" | grep -q 'expected an empty folder' || bad 'a folder of another run'
exit $failed
