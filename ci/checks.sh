#!/usr/bin/env bash
# What the assay command answers to bad and good input: exit codes, messages, and what it leaves behind.
# Usage: ci/checks.sh PATH_TO_ASSAY [SANITIZERS it was built with]
set -u
. "$(dirname "$0")/expect.sh"
sanitizers=${2:-}
fixtures=$(dirname "$0")/../suites/fixtures
history=$(dirname "$0")/../reports/history
anywhere=(--model tiny-llama --suite Prefill --dtype fp32)
quick=("${anywhere[@]}" --device host)

expect 0 'PASS' run "${quick[@]}" --report "$work/r.json"
expect 0 'valid, PASS' validate "$work/r.json"
expect 0 'PASS: 4 of 4 cases passed, 0 failed, 0 errored, 0 skipped' run "${quick[@]}" --report "$work/r.json.gz"
expect 0 'valid, PASS' validate "$work/r.json.gz"
[ "$(head -c 2 "$work/r.json.gz" | od -An -tx1)" = ' 1f 8b' ] \
  || { echo 'a report named .gz is not compressed'; failed=1; }
# A case may pass with verdicts that noise explains, and the table says so.
expect 0 'TIE_FLIP' run --model tiny-gemma3 --suite Schedule --dtype bf16 --device host
expect 0 'TIE_FLIP' run --model tiny-llama --suite BatchedDecode --dtype bf16 --device host
expect 0 'Prefill' list
expect 0 'Prefill.MatchesReference/tiny-llama/fp32/host' list --cases "${quick[@]}"
expect 0 'Prefill.MatchesReference/tiny-llama/fp32/host/mode=batch-invariant' list --cases "${quick[@]}" \
  --batch-invariant
expect 0 'tiny-llama' list --groups "${quick[@]}"
expect 0 'device memory' list --groups
expect 2 'excludes' list --groups --cases
expect 0 'KV plan' inspect tiny-gemma4-moe
expect 0 'KV plan' inspect gemma4-e4b
expect 0 'assay 0' --version
# Looking at a model of any size takes less than 200 MB, address space and all; sanitizers reserve more for themselves.
[ -n "$sanitizers" ] || (ulimit -v 204800 && expect 0 'KV plan' inspect gemma4-31b && exit $failed) || failed=1
expect 0 'validate' --help

expect 2 "suite 'Nothing': expected one of" run --suite Nothing
expect 4 "model 'nothing' matches nothing: expected" run --model nothing
expect 4 'no case was selected' run "${quick[@]}" --case 'No.SuchCase*'
# An id of an earlier version: what runs in its place is named, and nothing passes.
expect 4 "the nearest is 'Prefill.MatchesReference/tiny-llama/fp32/host'" run "${quick[@]}" \
  --case 'Prefill.MatchesReference/tiny_llama_fp32'
expect 4 'no case was selected' run "${quick[@]}" --case 'Prefill.MatchesReference/tiny_llama_fp32'
expect 0 '1 of 1 cases passed' run "${quick[@]}" --case 'Prefill.MatchesReference/tiny-llama/fp32/host'
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
expect 2 "'cuda:x'" run "${anywhere[@]}" --device cuda:x
expect 0 'valid, PASS' validate "$work/r.json"
"$assay" list >/dev/full 2>&1 && { echo 'a list that cannot be written is no success'; failed=1; }

# A type named twice is one; two models of one name are told apart or refused.
expect 0 'PASS' run "${quick[@]}" --dtype fp32 --report "$work/twice.json"
expect 0 'valid, PASS' validate "$work/twice.json"
for copy in a/mine:llama3 b/mine:qwen3 c/mine:llama3; do
  mkdir -p "$work/${copy%%/*}" && cp -r "$fixtures/goldens/hf-tiny/${copy##*:}" "$work/${copy%%:*}"
done
expect 0 'PASS: 20 of 20 cases passed' run --model "$work/a/mine" --model "$work/b/mine" --suite Decode \
  --suite Prefill --dtype fp32 --device host --report "$work/names.json"
expect 0 'valid, PASS' validate "$work/names.json"
[ "$(grep -o '"mine#[0-9a-f]*"' "$work/names.json" | sort -u | wc -l)" -eq 2 ] \
  || { echo 'two models of one name are not told apart'; failed=1; }
grep '"models"' -A 9 "$work/names.json" | grep -qF "$work" \
  && { echo 'a report names a path of this machine'; failed=1; }
expect 2 'is there twice' run --model "$work/a/mine" --model "$work/c/mine" --suite Decode --dtype fp32 --device host

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
(trap '' XFSZ; ulimit -f 8; expect 2 'large.json' run tiny-llama --suite Decode,BatchedDecode,CacheAliasing,RingWrap \
  --dtype fp32 --device host --report "$work/large.json"; exit $failed) || failed=1
expect 2 'no goldens' golden tiny-llama
expect 4 'matches nothing' golden nothing
expect 2 'cannot open' validate "$work/absent.json"
expect 2 'it is a folder' validate "$work"

echo '{' >"$work/broken.json"
expect 2 'not a report' validate "$work/broken.json"
expect 2 'broken.json' golden qwen3-nano --goldens "$work/broken.json" --dtype fp32 --device host
# Goldens of another vocabulary are no failed case: both files are named and nothing runs.
nano=$(ls "$fixtures"/models/gemma4-nano/goldens.*)
for part in "$nano" 'vocabulary of 256'; do
  expect 2 "$part" golden hf-tiny/llama3 --goldens "$nano" --dtype fp32 --device host
done

# spoil FROM TO: a copy of a report in which one thing is not what it was.
spoil() {
  sed "s/$1/$2/" "$work/r.json" >"$work/spoilt.json"
  cmp -s "$work/r.json" "$work/spoilt.json" && { echo "no '$1' to spoil in the report"; failed=1; }
}
grep -q '"version":"2.5.0"' "$work/r.json" || { echo 'a report is not of version 2.5.0'; failed=1; }
spoil '"pass":[0-9]*' '"pass":999' && expect 1 'counts' validate "$work/spoilt.json"
spoil '"argmax":\[[0-9]*,' '"argmax":[999,' && expect 1 'argmax' validate "$work/spoilt.json"
spoil '"listed":4' '"listed":3' && expect 1 'listed' validate "$work/spoilt.json"
spoil '"kind":"run"' '"kind":"walk"' && expect 1 'kind' validate "$work/spoilt.json"
spoil '"version":"2.5.0"' '"version":"3.0.0"' && expect 5 '3.0.0' validate "$work/spoilt.json"
echo '{"schema": {"name": "assay.report", "version": "1.1.0"}, "cases": []}' >"$work/version1.json"
expect 5 '1.1.0' validate "$work/version1.json"
expect 5 '1.1.0' validate "$work/r.json" --comparable "$work/version1.json"

# What two devices computed is compared by its bits.
expect 0 'PASS' run --model tiny-llama --dtype fp32 --device host --suite Decode --batch-invariant --report "$work/bits.json"
python3 "$(dirname "$0")/same_numbers.py" --digests "$work/bits.json" "$work/bits.json" >"$work/same" ||
  { echo 'a report has not the bits of itself'; cat "$work/same"; failed=1; }
sed 's/"digest":"[0-9a-f]/"digest":"x/' "$work/bits.json" >"$work/other_bits.json"
for other in "$work/other_bits.json" "$work/r.json"; do
  python3 "$(dirname "$0")/same_numbers.py" --digests "$work/bits.json" "$other" >"$work/same" &&
    { echo "the same bits in $other:"; cat "$work/same"; failed=1; }
done

# Numbers of two environments are compared only where no field that counts differs.
expect 0 'comparable with' validate "$work/r.json" --comparable "$work/r.json.gz"
expect 0 'comparable with here' validate "$work/r.json" --comparable here
# Of a command that judges and of one that times, as an environment without the variable starts them.
(unset OMP_WAIT_POLICY
expect 0 'PASS' run "${quick[@]}" --report "$work/unset.json"
expect 0 'PASS' bench tiny-llama --what decode --n 1 --ctx 4 --dtype fp32 --device host --report "$work/timed.json"
for report in unset timed; do expect 0 'comparable with here' validate "$work/$report.json" --comparable here; done
OMP_WAIT_POLICY=active expect 5 'OMP_WAIT_POLICY' validate "$work/unset.json" --comparable here
exit $failed) || failed=1
spoil '"cores":[0-9]*' '"cores":4097' && expect 5 'host cores' validate "$work/r.json" --comparable "$work/spoilt.json"
expect 2 'cannot open' validate "$work/r.json" --comparable "$work/absent.json"

# A row that was timed was verified before; a row that nobody can verify is not timed.
quick_bench=(--dtype fp32 --what decode --n 1 --ctx 8 --seconds 0.02)
expect 0 'PASS: 1 of 1 rows timed, 1 of 1 covering cases passed' bench --model tiny-llama \
  --device host "${quick_bench[@]}" --report "$work/bench.json"
expect 0 'valid, PASS' validate "$work/bench.json"
expect 4 'no suite can judge' bench --model gemma3-270m --device host "${quick_bench[@]}"

# Kept reports are what they say, whatever their verdict, and so is their page.
while read -r kept; do expect 0 ': valid, ' validate "$kept"; done < <(find "$history" -name '*.json.gz')
"$assay" history render "$history" | cmp -s - "$history/README.md" \
  || { echo 'the page of kept reports is not rendered from them'; failed=1; }

# A run that is killed leaves a report that says so.
"$assay" run --model '*-nano' --device host --report "$work/killed.json" >/dev/null 2>&1 &
pid=$!
for _ in $(seq 100); do [ -e "$work/killed.json" ] && break; sleep 0.1; done
kill -9 "$pid"
wait "$pid" 2>/dev/null
expect 4 'the run did not finish' validate "$work/killed.json"

# A device that is not there is a reason, never a pass.
expect 4 'skipped 4 cases: ' run "${anywhere[@]}" --device cuda:9
expect 4 'INCOMPLETE: 0 of 4' run "${anywhere[@]}" --device cuda:9
expect 4 'CUDA device' run "${anywhere[@]}" --device cuda:9
expect 4 'CUDA device' golden hf-tiny/llama3 --dtype fp32 --device cuda:9
expect 4 'CUDA device' bench --model tiny-llama "${quick_bench[@]}" --device cuda:9

# Without a device everything is skipped, by name and with the reason, and that is no pass.
if "$assay" list | grep -q '^cuda .*no CUDA device'; then
  expect 4 'skipped' run --model tiny-llama --suite Prefill --dtype fp32 --device cuda
  expect 4 'INCOMPLETE: 1 of' run --model gemma4-nano --dtype fp32 --device cuda
  expect 4 'INCOMPLETE: 1 of 2' golden gemma4-nano --dtype fp32 --device cuda
  expect 4 'INCOMPLETE: 0 of 1 rows timed' bench --model tiny-llama --device cuda "${quick_bench[@]}"
  expect 4 'skipped 10 cases' run --model gemma4-e4b --suite RealGeometry --dtype bf16 --device cuda
fi

# The replay line of a failed case runs that case, and it fails again.
qwen=$fixtures/goldens/hf-tiny/qwen3/goldens.safetensors
expect 1 'FAIL: 0 of 2 cases passed, 2 failed' golden hf-tiny/llama3 --goldens "$qwen" --dtype fp32 --device host \
  --report "$work/failed.json"
expect 0 'valid, FAIL' validate "$work/failed.json"
while read -r replay; do
  eval "set -- ${replay#assay }"
  expect 1 'FAIL: 0 of 1 cases passed, 1 failed, 0 errored' "$@"
done < <(grep -o '"replay":"assay [^"]*"' "$work/failed.json" | sed 's/"replay":"//; s/"$//')
[ "$(grep -c '"replay":"assay ' "$work/failed.json")" -eq 2 ] || { echo 'a failed case has no replay line'; failed=1; }

# Piped output has no colours.
"$assay" run "${quick[@]}" | grep -q $'\033' && { echo 'piped output has escape sequences'; failed=1; }
exit $failed
