#!/usr/bin/env bash
# The op tests and the suites of the nano models under the tools of compute-sanitizer, on a machine with a GPU.
# Usage: ci/device_sanitizers/run.sh BIN_DIR OUT_DIR [TOOL...]
#   OUT_DIR gets a log and a report per run, and summary.txt: a line per run. Ends with 1 if a tool reports anything, a case fails, a run
#   does not finish, or a tool does not see the fault planted for it.
# Environment: DTYPES (default: "bf16 fp16 fp32"), JOBS (runs at a time; default: the number of cores / 2), LIMIT (seconds a run may take).
#
# Runs share a GPU through MPS where it is there: taking turns on it makes instrumented kernels ten times slower.
# initcheck does not see what cuBLAS stores and reports every read of it, in a program of one product too. It gets what runs without cuBLAS:
# batch-invariant mode, recorded decode steps, op tests without the library's products.
set -euo pipefail
bin=$(realpath "$1")
out=$2
shift 2
tools=("$@")
[ ${#tools[@]} -gt 0 ] || tools=(memcheck synccheck initcheck racecheck)
read -r -a dtypes <<<"${DTYPES:-bf16 fp16 fp32}"
command -v compute-sanitizer >/dev/null || { echo "$0: compute-sanitizer is missing: it comes with the CUDA toolkit" >&2; exit 2; }
gpus=$(nvidia-smi -L 2>/dev/null | wc -l)
[ "$gpus" -gt 0 ] || { echo "$0: no GPU here" >&2; exit 2; }
mkdir -p "$out"
out=$(realpath "$out")
: >"$out/summary.txt"

if command -v nvidia-cuda-mps-control >/dev/null && nvidia-cuda-mps-control -d 2>/dev/null; then
  trap 'echo quit | nvidia-cuda-mps-control' EXIT
fi

# run GPU NAME TOOL COMMAND...: a line of the summary.
run() {
  local gpu=$1 name=$2 tool=$3 started=$SECONDS code=0 verdict=FAIL
  shift 3
  [[ $name != *-ops-* ]] || export GTEST_TOTAL_SHARDS=4 GTEST_SHARD_INDEX=${name##*-}
  CUDA_VISIBLE_DEVICES=$gpu timeout "${LIMIT:-0}" compute-sanitizer --tool "$tool" --error-exitcode 99 --print-limit 10 "$@" \
    >"$out/$name.log" 2>&1 || code=$?
  case $name in
    *-planted) [ "$code" -eq 99 ] && verdict=ok ;;
    *) [ "$code" -eq 0 ] && grep -qE 'SUMMARY: 0 (errors|hazards)' "$out/$name.log" && verdict=ok ;;
  esac
  printf '%-4s %-36s exit %-3d %4d s  %s\n' $verdict "$name" $code $((SECONDS - started)) \
    "$(grep -aoE '(PASS|FAIL|INCOMPLETE): .*|[0-9]+ hazards? displayed.*|SUMMARY: [0-9]+ error.*|\[  (PASSED|FAILED)  \] [0-9]+ tests?' \
      "$out/$name.log" | tail -n 3 | tr '\n' ';')" >>"$out/summary.txt"
}
export -f run
export out

# runs TOOL: "NAME TOOL COMMAND...", one a line.
runs() {
  local tool=$1 dtype suite shard suites=(all) mode=() filter='*'
  [ "$tool" = racecheck ] && read -r -a suites <<<"Prefill BatchedDecode Decode Invariance Schedule RingWrap CacheAliasing Failure KnownAnswers Golden CudaReference"
  if [ "$tool" = initcheck ]; then
    mode=(--batch-invariant)
    filter='-*ExactIntegers*:*Random*:*StackedParts*:*Gated*:*PleGate*:*RepeatsBitForBit*:*ExpertTest.MatchesHost*:GraphTest.*'
  fi
  echo "$tool-planted $tool $bin/assay_planted_faults $tool"
  for dtype in "${dtypes[@]}"; do
    for suite in "${suites[@]}"; do
      [ "$suite" = all ] || mode=(--suite "$suite")
      echo "$tool-$suite-$dtype $tool $bin/assay run --model *-nano --device cuda --dtype $dtype ${mode[*]} --report $out/$tool-$suite-$dtype.json"
    done
    [ "$tool" != initcheck ] || echo "$tool-steps-$dtype $tool $bin/assay run --model *-nano --device cuda --dtype $dtype --case Decode.GraphEqualsSteps/* --report $out/$tool-steps-$dtype.json"
  done
  for shard in 0 1 2 3; do
    echo "$tool-ops-$shard $tool $bin/assay_op_tests --gtest_brief=1 --gtest_filter=$filter"
  done
}

cd "$out"
for tool in "${tools[@]}"; do runs "$tool"; done | awk -v gpus="$gpus" '{ print NR % gpus, $0 }' >"$out/runs.txt"
# shellcheck disable=SC2016  # expanded by the inner shell
xargs -P "${JOBS:-$((($(nproc) + 1) / 2))}" -d '\n' -I{} bash -c 'set -f; run $1' _ {} <"$out/runs.txt"
sort -k 2 -o "$out/summary.txt" "$out/summary.txt"
cat "$out/summary.txt"
[ "$(grep -c '^ok ' "$out/summary.txt")" -eq "$(wc -l <"$out/runs.txt")" ]
