#!/usr/bin/env bash
# The op tests and the suites of the nano models under the tools of compute-sanitizer, on a machine with a GPU.
# Usage: ci/device_sanitizers/run.sh BIN_DIR OUT_DIR [TOOL...]
#   OUT_DIR gets a log and a report per run, and summary.txt: a line per run. Ends with 1 if a tool reports anything, a case fails, a run
#   does not finish, or a tool does not see the fault planted for it.
# Environment: DTYPES (default: "bf16 fp16 fp32"), CASES (of racecheck, which gets a run a case; default: '*'), JOBS (runs at a time; default: six
# for each GPU, more slow each other down), LIMIT (seconds a run may take; default: 3600), CUDA_VISIBLE_DEVICES (default: all GPUs).
#
# Runs share a GPU through MPS where it is there: taking turns on it makes instrumented kernels ten times slower. A run that crashes
# or is stopped takes the others on its GPU along, so the planted faults run before, outside MPS.
# Two tools misjudge cuBLAS, also in a program that does nothing but one product. Racecheck reports races within its kernels: those do not
# count. It cannot be told to leave these kernels out: then the next kernel ends in an illegal address. Initcheck does not see what they
# store, so it gets what runs without them: batch-invariant mode and recorded decode steps. Of the op tests both tools get those that need
# no cuBLAS.
set -euo pipefail
[ $# -ge 2 ] || { sed -n '3,7p' "$0" >&2; exit 2; }
bin=$1
out=$2
shift 2
tools=("$@")
[ ${#tools[@]} -gt 0 ] || tools=(memcheck synccheck initcheck racecheck)
read -r -a dtypes <<<"${DTYPES:-bf16 fp16 fp32}"
command -v compute-sanitizer >/dev/null || { echo "$0: compute-sanitizer is missing: it comes with the CUDA toolkit" >&2; exit 2; }
count=$( (nvidia-smi -L 2>/dev/null || true) | wc -l)
[ "$count" -gt 0 ] || { echo "$0: no GPU here" >&2; exit 2; }
gpus=${CUDA_VISIBLE_DEVICES:-$(seq -s, 0 $((count - 1)))}
mkdir -p "$out"
: >"$out/summary.txt"

# clean CODE LOG: true if a command that ended with CODE passed whole and its tool reports nothing, or races within cuBLAS alone.
clean() {
  ! grep -qaE 'SKIPPED|[1-9][0-9]* skipped|FAILED|Internal Sanitizer Error|returned an error' "$2" || return
  case $1 in
    0) grep -qaE 'SUMMARY: 0 (errors|hazards)' "$2" ;;
    99) grep -qaE '^PASS: |\[  PASSED  \]' "$2" && grep -qaE 'RACECHECK SUMMARY: [0-9]+ hazard' "$2" &&
      ! grep -aE '(Read|Write) access at' "$2" | grep -qvE 'access at (void )?(nvjet|cublas|cutlass)' ;;
    *) false ;;
  esac
}

# run GPU NAME TOOL COMMAND...: a line of the summary.
run() {
  local gpu=$1 name=$2 tool=$3 started=$SECONDS code=0 verdict=FAIL options=() limit=10
  shift 3
  case $tool in
    memcheck) options=(--report-api-errors no) ;;  # our own checks throw them, and a test asks for too much memory
    racecheck) limit=0 ;;  # all, or those of cuBLAS hide ours
  esac
  [[ $name != *-ops-* ]] || export GTEST_TOTAL_SHARDS=4 GTEST_SHARD_INDEX=${name##*-}
  CUDA_VISIBLE_DEVICES=$gpu timeout "${LIMIT:-3600}" compute-sanitizer --tool "$tool" --error-exitcode 99 --print-limit $limit "${options[@]}" "$@" \
    >"$out/$name.log" 2>&1 || code=$?
  case $name in
    *-planted) [ "$code" -eq 99 ] && verdict=ok ;;
    *) clean "$code" "$out/$name.log" && verdict=ok ;;
  esac
  printf '%-4s %-45s exit %-3d %4d s  %s\n' $verdict "$name" $code $((SECONDS - started)) \
    "$(grep -aoE '(PASS|FAIL|INCOMPLETE): .*|[0-9]+ hazards? displayed.*|SUMMARY: [0-9]+ error.*|\[  (PASSED|FAILED|SKIPPED) +\] [0-9]+ tests?' \
      "$out/$name.log" | tail -n 3 | tr '\n' ';')" >>"$out/summary.txt"
}
export -f run clean
export out

# runs TOOL: "NAME TOOL COMMAND...", one a line.
runs() {
  local tool=$1 dtype cases id shard command filter='-GraphTest.MissingDeviceSaysWhy:*OpCaseTest.HostAlone/*:*OpCaseTest.IdsAreUnique/*:CudaFailure.*:CudaCopy.AFile*'
  case $tool in
    racecheck | initcheck)
      filter+=':*ExactIntegers*:*Random*:*StackedParts*:*Gated*:*PleGate*:*RepeatsBitForBit*:*DeviceMatchesHost/Experts_*'
      filter+=':*GraphRowsTest*/90:GraphTest.RefusesToGrow*:GraphTest.ExpandedWeights*'
      ;;
  esac
  for dtype in "${dtypes[@]}"; do
    command="$tool $bin/assay run --device cuda --dtype $dtype"
    case $tool in
      racecheck)
        cases=$("$bin/assay" list --cases --model '*-nano*' --case "${CASES:-*}" --device cuda --dtype "$dtype") || return
        for id in $cases; do
          [[ $id == */cuda* ]] || continue
          echo "$tool-${id//\//-} $command --model *-nano --case $id --report $out/$tool-${id//\//-}.json.gz"
        done
        ;;
      initcheck)
        echo "$tool-invariant-$dtype $command --model *-nano --batch-invariant --report $out/$tool-invariant-$dtype.json.gz"
        echo "$tool-steps-$dtype $command --model *-nano --case Decode.GraphEqualsSteps/* --report $out/$tool-steps-$dtype.json.gz"
        ;;
      *) echo "$tool-all-$dtype $command --model *-nano --report $out/$tool-all-$dtype.json.gz" ;;
    esac
  done
  for shard in 0 1 2 3; do echo "$tool-ops-$shard $tool $bin/assay_op_tests --gtest_brief=1 --gtest_filter=$filter"; done
}

for tool in "${tools[@]}"; do CUDA_MPS_PIPE_DIRECTORY=/nowhere run "${gpus%%,*}" "$tool-planted" "$tool" "$bin/assay_planted_faults" "$tool"; done
if command -v nvidia-cuda-mps-control >/dev/null && env -u CUDA_VISIBLE_DEVICES nvidia-cuda-mps-control -d 2>/dev/null; then
  trap 'echo quit | nvidia-cuda-mps-control' EXIT
fi
for tool in "${tools[@]}"; do runs "$tool" || exit; done |
  awk -v gpus="$gpus" 'BEGIN { n = split(gpus, gpu, ",") } { print gpu[NR % n + 1], $0 }' >"$out/runs.txt"
# shellcheck disable=SC2016  # expanded by the inner shell
xargs -P "${JOBS:-$((6 * $(tr , '\n' <<<"$gpus" | wc -l)))}" -d '\n' -I{} bash -c 'set -f; run $1' _ {} <"$out/runs.txt"
sort -k 2 -o "$out/summary.txt" "$out/summary.txt"
cat "$out/summary.txt"
[ "$(grep -c '^ok ' "$out/summary.txt")" -eq $(($(wc -l <"$out/runs.txt") + ${#tools[@]})) ]
