#!/usr/bin/env bash
# What a developer runs before pushing: what has changed since the merge base decides which checks run, then the gate's
# screen compares decode with a build of the merge base. Called by ci/run.sh, from the root of the tree.
# Usage: ci/precheck.sh BASE PRESET; BASE: a commit, which the gate builds below build/gate when it is not there yet
#        ci/precheck.sh --plan BASE: prints the checks, one a line, without running them
set -euo pipefail

changed() { { git diff --name-only "$1" --; git ls-files --others --exclude-standard; } | sort -u; }

# check_of FILE: the checks that a change of it asks for. The first pattern that matches decides.
check_of() {
  case $1 in
    *.md | LICENSE | .github/* | reports/history/* | .clang-format | .gitignore) ;;
    engine/ops/* | engine/memory/* | engine/base/*) echo ops parity decode ;;
    suites/ops/*) echo ops ;;
    engine/weights/gguf* | engine/model/gguf*) echo gguf decode ;;
    engine/weights/*) echo gguf hf decode ;;
    engine/*) echo parity decode ;;
    bench/*) echo decode ;;
    reports/gate/* | reports/policy/* | reports/render/* | ci/*.sh) ;;  # the tests' business
    *) echo parity ;;
  esac
}

# plan BASE: parity covers the goldens of each format.
plan() {
  local file checks
  checks=$(for file in $(changed "$1"); do check_of "$file"; done | tr ' ' '\n' | sort -u)
  grep -q parity <<<"$checks" && checks=$(grep -vE 'gguf|hf' <<<"$checks")
  for file in ops gguf hf parity decode; do grep -x "$file" <<<"$checks" || true; done
}

if [ "$1" = --plan ]; then
  plan "$2"
  exit
fi
base=$1 bin=build/$2/bin reports=build/reports
# Steps on a GPU are quiet enough for a limit that follows from their spread; those on a shared host are not.
case $2 in cuda) speed=(--dtype bf16 --threshold auto) ;; *) speed=(--dtype fp32 --threshold 8) ;; esac
mkdir -p "$reports"
# run_check NAME: its exit code is the check's.
run_check() {
  case $1 in
    ops) "$bin/assay_op_tests" --gtest_brief=1 | grep -vE "^$|: Skipped$|^no CUDA device" ;;
    gguf | hf) "$bin/assay" run "$1-tiny/*" --suite Golden --quiet --report "$reports/precheck-$1.json" ;;
    parity)
      # Op tests are a check of their own.
      "$bin/assay" run '*-nano,hf-tiny/*,gguf-tiny/*' --dtype fp32 --exclude Ops --quiet \
        --report "$reports/precheck-parity.json"
      ;;
    decode)
      "$bin/assay" gate --baseline "$base" --candidate "$bin/assay" --suite Decode --n 1,8 --ctx 64 --seconds 0.1 \
        "${speed[@]}" --rounds 8 --report "$reports/precheck-gate.json"
      ;;
  esac
}

begun=$SECONDS
for check in $(plan "$base"); do
  echo "precheck: $check"
  code=0
  run_check "$check" || code=$?
  # An unclear speed is no reason to hold a change back; the gate on a quiet runner decides.
  [ "$code" -eq 0 ] || { [ "$check" = decode ] && [ "$code" -eq 3 ]; } || {
    echo "precheck: $check ended with $code after $((SECONDS - begun)) s"
    exit "$code"
  }
done
echo "precheck: passed in $((SECONDS - begun)) s"
