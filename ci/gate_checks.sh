#!/usr/bin/env bash
# Ways in which a gate may have no answer: each has its exit code, and none of them is 0. With `times` a build against
# itself and against one that is 10 % slower, really run. Usage: ci/gate_checks.sh ASSAY [times]
set -u
. "$(dirname "$0")/expect.sh"
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/.." && pwd)
cd "$work" || exit 1
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-2} OMP_WAIT_POLICY=passive

# fake MODE: a program that behaves so.
fake() {
  printf '#!/bin/sh\nexec python3 %q %q %q %q "$@"\n' "$here/fake_build.py" "$1" "$assay" "$work" >"$work/$1"
  chmod +x "$work/$1"
  rm -f "$work/$1.count"
  echo "$work/$1"
}

if [ "${2:-}" = times ]; then
  real=(--model tiny-llama --dtype fp32 --device host --n 4 --ctx 64 --seconds 0.1 --suite Decode --threshold 8)
  "$assay" gate --baseline "$assay" --candidate "$assay" "${real[@]}" >said 2>&1
  case $? in 0 | 3) ;; *) echo 'a build differs from itself:'; cat said; failed=1 ;; esac
  expect 1 'REGRESSION' gate --baseline "$assay" --candidate "$(fake slow)" "${real[@]}"
  exit $failed
fi

cells=(--model tiny-llama --dtype fp32 --device host --n 1 --n 4 --ctx 64 --seconds 0.1)
"$assay" run tiny-llama --suite Prefill,Decode --dtype fp32 --device host --report run.json >/dev/null || exit 1
"$assay" bench "${cells[@]}" --report bench.json >/dev/null || exit 1
good=$(fake good)
# gate MODE ARGS...: of that candidate against a good build.
gate() {
  local code=$1 text=$2 mode=$3
  shift 3
  expect "$code" "$text" gate --baseline "$good" --candidate "$(fake "$mode")" "${cells[@]}" --seed 1 "$@"
}

# What has an answer.
gate 0 'PASS: 4 cells' good2 --report good.json
"$assay" validate --require-pass good.json >/dev/null || { echo 'the report of a gate does not hold'; failed=1; }
gate 1 'REGRESSION: 4 cells' slow10 --report slow.json --junit slow.xml --summary slow.md --github
"$assay" validate slow.json | grep -q 'valid, REGRESSION' ||
  { echo 'the report of a regression does not hold'; failed=1; }
[ "$(grep -c '<failure' slow.xml)" -eq 2 ] && [ "$(grep -c 'regression\*\*' slow.md)" -eq 2 ] ||
  { echo 'exports of a gate do not name its two regressions'; failed=1; }
expect 0 'faster' gate --baseline "$(fake slow10)" --candidate "$good" "${cells[@]}"

# What has none.
gate 1 'error: Prefill' parity_fails
gate 3 'INCONCLUSIVE' noisy --rounds 8
gate 3 'the last look is at 8' slow10 --budget 0.1
gate 4 'parity of the candidate: was killed by signal 9' dies_at_once
gate 4 'was killed by signal 9' dies_later
gate 4 'took more than 1 s' hangs --timeout 1
gate 4 'left no report and ended with 7' no_report
gate 4 'it ended with 7' wrong_code
gate 4 'candidate' part
gate 4 'the candidate has no such row' row_missing
gate 4 'timed it 5 times in a process, 20 are needed' few_samples
gate 4 'which was reported before' same_run
gate 4 'contradicts itself' lies
gate 4 'before it started' backwards
gate 5 'models: ' other_model
gate 4 'contradicts itself' other_key
gate 5 'another' other_host
gate 5 'the candidate is another build than before' rebuilt
gate 5 'report version 9.0.0' version
"$assay" gate --baseline "$good" --candidate "$(fake hangs)" "${cells[@]}" --report ended.json >said 2>&1 &
sleep 3; kill -TERM $!; wait $!
[ $? -eq 143 ] || { echo 'SIGTERM does not end a gate with 143'; failed=1; }
"$assay" validate ended.json >/dev/null
[ $? -eq 4 ] || { echo 'the report of a gate that was ended is not incomplete'; failed=1; }
printf 'no program' >text && chmod +x text
expect 4 'did not start' gate --baseline "$good" --candidate ./text "${cells[@]}"
expect 2 'a file that cannot be run' gate --baseline "$good" --candidate run.json "${cells[@]}"
expect 2 'no git revision' gate --baseline "$good" --candidate no-such-build "${cells[@]}"
mkdir empty
expect 2 'a folder without bin/assay' gate --baseline "$good" --candidate empty "${cells[@]}"
expect 4 'parity of the candidate' gate --baseline "$assay" --candidate "$assay" --model no-such-model --device host
gate 2 'expected 1 to 100 percent' good2 --threshold 0.1
"$assay" gate --baseline "$good" --candidate "$good" "${cells[@]}" --report /dev/full >said 2>&1
[ $? -eq 2 ] || { echo "a report that cannot be written: $(tail -1 said)"; failed=1; }

# Policies.
policy() { # policy NAME TEXT: a policy with these members
  printf '{"schema":{"name":"assay.policy","version":"1.0.0"},"name":"%s",%s}' "$1" "$2" >"$1.json"
}
policy vanished '"require":{"suites":["Golden"]}'
gate 4 'no case of suite Golden passed' good2 --policy vanished.json
policy cell '"require":{"cells":["bench.prefill/*"]}'
gate 4 'no cell bench.prefill/* was timed' good2 --policy cell.json
policy expired '"require":{"devices":["host"]},"waivers":[{"id":"*","reason":"old","expires":"2020-01-01"}]'
gate 2 'expired on 2020-01-01' good2 --policy expired.json
policy unknown '"require":{"devices":["host"]},"colour":1'
gate 2 'colour' good2 --policy unknown.json
policy empty_policy '"require":{}'
gate 2 'policy empty_policy.json' good2 --policy empty_policy.json
for sample in host h100; do
  expect 4 "policy $sample" gate --reports run.json run.json --policy "$root/reports/policy/$sample.json"
done

# Kept reports.
expect 0 'PASS: ' gate --reports run.json run.json
"$assay" run tiny-llama --suite Prefill --dtype fp32 --device host --report fewer.json >/dev/null
expect 4 'vanished; was pass' gate --reports run.json fewer.json
expect 0 'new: Decode' gate --reports fewer.json run.json
"$assay" run tiny-llama --suite RingWrap --dtype fp32 --device host --report skipped.json >/dev/null
expect 4 'INCOMPLETE' gate --reports skipped.json skipped.json
head -c 3000 run.json >cut.json
expect 2 'cut.json' gate --reports run.json cut.json
sed 's/"version":"2\./"version":"9./' run.json >major.json
expect 5 'major.json' gate --reports run.json major.json

exit $failed
