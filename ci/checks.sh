#!/usr/bin/env bash
# What the assay command answers to bad and good input: exit codes, messages, and what it leaves behind.
# Usage: ci/checks.sh PATH_TO_ASSAY [SANITIZERS it was built with]
set -u
assay=$1
sanitizers=${2:-}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failed=0

# expect CODE TEXT ARGS...: the command ends with CODE and says TEXT.
expect() {
  local code=$1 text=$2 said found
  shift 2
  said=$("$assay" "$@" 2>&1)
  found=$?
  if [ "$found" -ne "$code" ] || ! grep -qF -- "$text" <<<"$said"; then
    echo "assay $*: expected exit $code and '$text', found exit $found and:"
    echo "$said" | head -20
    failed=1
  fi
}
quick=(--model tiny-llama --suite Prefill --dtype fp32 --device host)

expect 0 'PASS' run "${quick[@]}" --report "$work/r.json"
expect 0 'valid, PASS' validate "$work/r.json"
expect 0 'TIE_FLIP' run --model tiny-gemma3 --suite Schedule --dtype bf16 --device host  # one case of four
expect 0 'Prefill' list
expect 0 'Prefill.' list --cases "${quick[@]}"
expect 0 'KV plan' inspect tiny-gemma4-moe
expect 0 'KV plan' inspect gemma4-e4b
expect 0 'assay 0' --version
# Looking at a model of any size takes less than 200 MB, address space and all; sanitizers reserve more for themselves.
[ -n "$sanitizers" ] || (ulimit -v 204800 && expect 0 'KV plan' inspect gemma4-31b && exit $failed) || failed=1
expect 0 'validate' --help

expect 2 "suite 'Nothing': expected one of" run --suite Nothing
expect 4 "model 'nothing' matches nothing: expected" run --model nothing
expect 4 'no case was selected' run "${quick[@]}" --case 'No.SuchCase'
expect 2 'fp8' run --dtype fp8
expect 2 '--nonsense' run --nonsense
expect 2 'subcommand'
expect 2 'cannot open' run "${quick[@]}" --report "$work/absent/r.json"
expect 2 'cannot be run' inspect "$work"
expect 4 'matches nothing' inspect nothing
expect 0 'qwen3-nano:' inspect '*-nano'
expect 2 'requires --cases' list --suite Prefill
expect 2 'expected a number from 0' run "${quick[@]}" --seed -1
expect 2 'expected a number from 0' run "${quick[@]}" --seed 9223372036854775808
expect 2 'expected more than 0' bench --seconds nan
expect 2 'expected one of decode' bench --what lunch
expect 0 'valid, PASS' validate "$work/r.json"
"$assay" list >/dev/full 2>&1 && { echo 'a list that cannot be written is no success'; failed=1; }

# A type named twice is one; two models of one name are told apart or refused.
expect 0 'PASS' run "${quick[@]}" --dtype fp32 --report "$work/twice.json"
expect 0 'valid, PASS' validate "$work/twice.json"
for folder in a b; do mkdir "$work/$folder" && cp -r "$(dirname "$0")/../suites/fixtures/goldens/hf-tiny/llama3" "$work/$folder/"; done
expect 2 'is there twice' run --model "$work/a/llama3" --model "$work/b/llama3" --suite Decode --dtype fp32 --device host

# A report replaces a file, not a pipe or device, and a link's target, not the link.
mkfifo "$work/pipe"
expect 2 'not a regular file' run "${quick[@]}" --report "$work/pipe"
[ -p "$work/pipe" ] || { echo 'a pipe was replaced by a report'; failed=1; }
echo old >"$work/target.json"
ln -s target.json "$work/link.json"
expect 0 'PASS' run "${quick[@]}" --report "$work/link.json"
[ -L "$work/link.json" ] || { echo 'a link was replaced by a report'; failed=1; }
expect 0 'valid, PASS' validate "$work/target.json"
# A report that cannot be written whole is no success.
(trap '' XFSZ; ulimit -f 8; expect 2 'large.json' run --model tiny-llama --dtype fp32 --device host --report "$work/large.json"; exit $failed) || failed=1
expect 2 'no goldens' golden tiny-llama
expect 4 'matches nothing' golden nothing
expect 2 'cannot open' validate "$work/absent.json"
expect 2 'it is a folder' validate "$work"

echo '{' >"$work/broken.json"
expect 2 'not a report' validate "$work/broken.json"
expect 2 'broken.json' golden qwen3-nano --goldens "$work/broken.json" --dtype fp32 --device host
sed 's/"pass": [0-9]*/"pass": 999/' "$work/r.json" >"$work/counts.json"
expect 1 'counts' validate "$work/counts.json"
sed 's/"status": "pass"/"status": "fine"/' "$work/r.json" >"$work/shape.json"
expect 1 'status' validate "$work/shape.json"
sed 's/"version": "1\.[0-9]*\.0"/"version": "2.0.0"/' "$work/r.json" >"$work/version.json"
expect 5 '2.0.0' validate "$work/version.json"

# A row that was timed was verified before; a row that nobody can verify is not timed.
quick_bench=(--dtype fp32 --what decode --n 1 --ctx 8 --seconds 0.02)
expect 0 'PASS: 1 of 1 rows timed, 2 of 2 parity cases passed' bench --model tiny-llama --device host "${quick_bench[@]}" --report "$work/bench.json"
expect 0 'valid, PASS' validate "$work/bench.json"
expect 4 'no suite can judge' bench --model gemma3-270m --device host "${quick_bench[@]}"

# Every kept report is what it says.
while read -r kept; do expect 0 'valid, PASS' validate "$kept"; done < <(find "$(dirname "$0")/../reports/history" -name '*.json')

# A run that is killed leaves a report that says so.
"$assay" run --model '*-nano' --device host --report "$work/killed.json" >/dev/null 2>&1 &
pid=$!
for _ in $(seq 100); do [ -e "$work/killed.json" ] && break; sleep 0.1; done
kill -9 "$pid"
wait "$pid" 2>/dev/null
expect 4 'the run did not finish' validate "$work/killed.json"

# Without a device everything is skipped, by name and with the reason, and that is no pass.
if "$assay" list | grep -q '^cuda .*no CUDA device'; then
  expect 4 'skipped' run --model tiny-llama --suite Prefill --dtype fp32 --device cuda
  expect 4 'INCOMPLETE: 1 of' run --model gemma4-nano --dtype fp32 --device cuda
  expect 4 'INCOMPLETE: 1 of 2' golden gemma4-nano --dtype fp32 --device cuda
  expect 4 'INCOMPLETE: 0 of 1 rows timed' bench --model tiny-llama --device cuda "${quick_bench[@]}"
  expect 4 'skipped 10 cases' run --model gemma4-e4b --suite RealGeometry --dtype bf16 --device cuda
fi

# The replay line of a report runs that case.
replay=$(grep -m1 -o '"replay": "assay [^"]*"' "$work/r.json" | sed 's/"replay": "assay //; s/"$//; s/\\"/"/g')
eval "set -- $replay"
expect 0 '1 of 1 cases passed' "$@"

# ... in the same mode.
expect 0 'PASS' run "${quick[@]}" --batch-invariant --report "$work/invariant.json"
grep -q '"replay": "assay .*_invariant .*--batch-invariant"' "$work/invariant.json" || { echo 'the replay line forgets the mode'; failed=1; }

# Piped output has no colours.
"$assay" run "${quick[@]}" | grep -q $'\033' && { echo 'piped output has escape sequences'; failed=1; }
exit $failed
