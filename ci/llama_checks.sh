#!/usr/bin/env bash
# llama.cpp as the system under test: ten tiny GGUF files, both nano models as GGUF in seven types, keys and values in 16
# bits, flash attention. Needs a Python with the cyllama wheel: ASSAY_LLAMA_PYTHON, or build/llama of ci/run.sh llama.
# Usage: ci/llama_checks.sh ASSAY [FOLDER FOR REPORTS]
set -u
. "$(dirname "$0")/expect.sh"
root=$(cd "$(dirname "$0")/.." && pwd)
out=${2:+$(mkdir -p "$2" && realpath "$2")}
python=${ASSAY_LLAMA_PYTHON:-$root/build/llama/bin/python}
"$python" -c 'import cyllama' 2>/dev/null ||
  { echo 'all skipped: no Python with the wheel cyllama here: ci/run.sh llama installs it'; exit 77; }
adapter="'$python' '$root/suites/adapters/llama_cpp.py'"
cd "$work" || exit 1
export OMP_WAIT_POLICY=passive

suites=Declaration,Golden,Prefill,Decode,BatchedDecode,Schedule,Invariance,KnownAnswers
# judged NAME MODELS SUITES OPTIONS: passes, and skips nothing but what looks inside.
judged() {
  "$assay" run --model "$2" --suite "$3" --system "$adapter $4" --report "$1.json" >"$1.txt" 2>&1 ||
    bad "$1: $(grep -E -A3 '^(fail|error)|^assay' "$1.txt" | head -20)"
  "$assay" validate --require-pass "$1.json" >/dev/null || bad "$1: its report does not hold"
  grep '^skipped' "$1.txt" | grep -v 'it is another process' && bad "$1: skipped more than what looks inside"
  tail -2 "$1.txt" | head -1
  [ -z "$out" ] || { cp "$1.json" "$out/" && gzip -f "$out/$1.json"; }
}

expect 0 '40 checks passed, 0 failed' system-check --system "$adapter" --model gguf-tiny/gemma3
expect 0 'rows compared' fuzz --seconds 5 --model gguf-tiny/gemma3 --system "$adapter"
judged llama-gguf-tiny 'gguf-tiny/*' $suites ''
for model in gemma4-nano qwen3-nano; do
  python3 "$root/suites/adapters/to_gguf.py" "$root/suites/fixtures/models/$model" $model.gguf --goldens || bad "$model: no GGUF"
done
judged llama-nano gemma4-nano.gguf,qwen3-nano.gguf $suites ''
"$python" - <<'EOF' || bad 'llama.cpp does not quantise'
from cyllama.llama import llama_cpp
llama_cpp.disable_logging()
for model in ("gemma4-nano", "qwen3-nano"):
    for name, number in (("f16", 1), ("bf16", 32), ("q8_0", 7), ("q4_0", 2), ("q4_k_m", 15)):
        parameters = llama_cpp.LlamaModelQuantizeParams()
        parameters.ftype = number
        llama_cpp.model_quantize(f"{model}.gguf", f"{model}-{name}.gguf", parameters)
EOF
judged llama-types "$(ls ./*-nano-*.gguf | paste -sd,)" Declaration,BatchedDecode ''
judged llama-cache-fp16 gemma4-nano.gguf,qwen3-nano.gguf Declaration,BatchedDecode '--cache fp16'
judged llama-flash gemma4-nano.gguf,qwen3-nano.gguf Declaration,BatchedDecode '--cache fp16 --flash'
judged llama-swa-full gemma4-nano.gguf,gguf-tiny/gemma3 Schedule,Invariance '--swa-full'
judged llama-unified qwen3-nano.gguf,gguf-tiny/llama BatchedDecode,Schedule,Invariance '--unified'
# What it declares matters: the same files judged by another arithmetic are wrong.
expect 1 'which it declares' run gguf-tiny/gemma3 --suite Declaration --system \
  "python3 '$root/suites/adapters/broken.py' --declare '{\"gelu\": \"exact\"}' -- $adapter"
exit $failed
