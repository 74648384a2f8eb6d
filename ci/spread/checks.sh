#!/usr/bin/env bash
# Runs spread over worker processes of this host: the same verdicts as in one process; workers that die, hang and leave
# children; coordinators that are killed; parts of a CI matrix; everything that must be refused.
# Usage: ci/spread/checks.sh ASSAY_WITH_PLANTED_CASES ASSAY [SANITIZERS that they were built with]
set -u
. "$(dirname "$0")/../expect.sh"
other=$(realpath "$2")
limit=$([ -n "${3:-}" ] && echo 20 || echo 1)  # seconds of a case; sanitizers slow it down, and must leave signals alone
export ASAN_OPTIONS=${ASAN_OPTIONS:-}:handle_segv=0:handle_abort=0 TSAN_OPTIONS=${TSAN_OPTIONS:-}:handle_segv=0:handle_abort=0
cd "$work" || exit 1
export OMP_NUM_THREADS=1 OMP_WAIT_POLICY=passive ASSAY_PLANTED='' ASSAY_PLANTED_FOLDER=$work
selection=(tiny-llama,hf-tiny/qwen3 --device host --suite Decode,Prefill --dtype fp32)
first='*Prefill.MatchesReference/tiny-llama/*'

# planted WHAT CODE TEXT OPTIONS...: a run in which that is planted ends with CODE and says TEXT; its report holds.
planted() {
  local what=$1 code=$2 text=$3
  shift 3
  rm -f "$work"/*' '*
  ASSAY_PLANTED=$what expect "$code" "$text" run "${selection[@]}" --jobs 2 --report r.json "$@"
  "$assay" validate r.json >said
  # A run that was ended early says so, and nothing else is wrong with its report.
  [ $? -eq $([[ $text == 'not complete'* ]] && echo 4 || echo 0) ] || bad "planted $what: the report does not hold: $(cat said)"
}
in_report() { grep -qF -- "$1" r.json || bad "the report lacks: $1"; }

# The same as in this process: verdicts, order of cases, and every number.
"$assay" run "${selection[@]}" --report here.json >/dev/null
planted '' 0 'PASS: 20 of 20 cases'
same() {
  python3 - "$1" "$2" <<'END'
import json, sys
def found(path):
    report = json.load(open(path))
    for case in report["cases"]:
        case.pop("duration_s", None)
        for judgement in case.get("judgements", []):
            judgement["bound"] = report["bounds"][judgement["bound"]]
    return report["cases"], report["counts"], report["models"], report["population"]
sys.exit(found(sys.argv[1]) != found(sys.argv[2]))
END
}
same here.json r.json || bad 'a spread run finds something else'
expect 0 'PASS: 20 of 20 cases' run "${selection[@]}" --executor local --jobs 1

# Workers that die. A case that kills two is left; one that kills one by its own fault is no pass.
planted "segv $first" 1 'crash: its worker was killed by signal 11 (SIGSEGV), twice'
in_report '"pass":19'
planted "abort-once $first" 1 'flaky: its worker was killed by signal 6 (SIGABRT), and it passed when it ran again'
planted "kill-once $first" 0 'ran again: Prefill.MatchesReference/tiny-llama/fp32/host: its worker was killed by signal 9'
planted "kill $first" 1 'crash: its worker was killed by signal 9 (SIGKILL), twice'
planted "exit $first" 1 'crash: its worker ended with code 3, twice'
planted "throw $first" 1 'std::bad_alloc'
planted "hang $first" 1 "timeout: its worker took more than $limit s, twice" --timeout "$limit"
planted "hang-once $first" 0 "its worker took more than $limit s" --timeout "$limit"
planted "child $first" 1 'crash: its worker ended with code 3'
in_report '"leftovers":2'
planted "segv *" 1 '0 of 20 cases passed'
planted "sleep=0.2 *;segv $first" 1 'not complete: stopped after 1 failure' --fail-fast

# Coordinators that end early. Nothing that was done is done again.
ASSAY_PLANTED='sleep=0.5 *qwen3*' "$assay" run "${selection[@]}" --jobs 2 --run killed --report killed.json >said 2>&1 &
coordinator=$!
until ls killed/shards/*.jsonl >/dev/null 2>&1; do sleep 0.05; done
kill -KILL $coordinator
wait $coordinator 2>/dev/null
sleep 0.3
for worker in /proc/[0-9]*; do
  tr '\0' ' ' <"$worker/cmdline" 2>/dev/null | grep -q "worker --plan $work/killed" && bad "a worker outlived its coordinator"
done
"$assay" validate killed.json >/dev/null
[ $? -eq 4 ] || bad 'the report of a coordinator that was killed is not incomplete'
done_before=$(ls killed/shards/*.jsonl)
expect 2 'holds a run already' run "${selection[@]}" --jobs 2 --run killed
expect 4 'lost: group' merge killed --report lost.json
expect 0 'PASS: 20 of 20 cases' run --run killed --resume --jobs 2 --report killed.json
same here.json killed.json || bad 'a run that was resumed finds something else'
for file in $done_before; do
  grep -q "$(basename "$file")" killed.json || bad "$file was done again"
done
expect 0 'byte for byte' verify killed.json killed
ASSAY_PLANTED='sleep=0.3 *' "$assay" run "${selection[@]}" --jobs 2 --run ended --report ended.json >said 2>&1 &
coordinator=$!
until ls ended/shards/*.part >/dev/null 2>&1; do sleep 0.05; done
kill -TERM $coordinator; wait $coordinator
[ $? -eq 143 ] || bad 'SIGTERM does not end a spread run with 143'
grep -q -- '--resume' said || bad 'nobody says how to go on'
expect 0 'PASS: 20 of 20 cases' run --run ended --resume

# A shard file that was damaged is named, with the line that mends it.
file=$(ls killed/shards/*.jsonl | head -1)
sed -i '2s/"index":0/"index":1/' "$file"
expect 4 "edited: group" merge killed --report damaged.json
[ ! -e damaged.json ] || bad 'a refused merge leaves a report'
expect 4 'INCOMPLETE' merge killed --report damaged.json --allow-partial
"$assay" validate damaged.json >/dev/null
[ $? -eq 4 ] || bad 'a partial report is not incomplete'
"$assay" merge killed --report damaged.json | grep -o 'assay run --run .*' | head -1 | sed "s|^assay|$assay|" >again.sh
sh again.sh >said 2>&1 || bad "the line that mends it does not: $(cat again.sh said)"
expect 0 'superseded: group' merge killed --report mended.json

# Parts of a CI matrix, each in a folder of its own as artifacts are.
expect 0 '2 bundles' plan "${selection[@]}" --workers 4 --bundles 2 --out plan.json
expect 0 'groups in' run --executor files --plan plan.json --bundle 0 --run parts/0
expect 4 'lost: group' merge parts --plan plan.json --report parts.json
expect 0 'groups in' run --executor files --plan plan.json --bundle 1 --run parts/1
expect 0 'PASS: 20 of 20' merge parts --plan plan.json --report parts.json
same here.json parts.json || bad 'merged parts find something else'
cp -r parts/0 parts/copy
expect 4 'duplicated: group' merge parts --plan plan.json --report twice.json
rm -r parts/copy
expect 0 'groups in' run --executor files --plan plan.json --bundle 1 --attempt 2 --run parts/again
expect 0 'superseded: group' merge parts --plan plan.json --report parts2.json
expect 2 'the plan has 2, counted from 0' run --executor files --plan plan.json --bundle 2 --run parts/2

# What is timed: by workers as well, one at a time on a host, after the cases that cover it; a worker that dies in a row
# costs nothing but its time.
timed=(tiny-llama,hf-tiny/qwen3 --device host --suite Decode --dtype fp32 --what decode --n 1,2 --ctx 64 --seconds 2)
expect 0 '16 cases and 4 rows in 4 groups' plan "${timed[@]}" --out timed.json
"$assay" run --plan timed.json --executor local --jobs 2 --run timed --report timed-report.json >said 2>&1 &
coordinator=$!
until grep -q '"suite":"bench"' timed/shards/*.part 2>/dev/null || ! kill -0 $coordinator 2>/dev/null; do sleep 0.02; done
[ "$(ls timed/shards/*.part | wc -l)" -eq 1 ] || bad 'what is timed on a host is not alone'
kill -KILL $(cat /proc/$coordinator/task/*/children)
expect 0 'rows that are timed' status timed
wait $coordinator || bad "a run that times: $(cat said)"
grep -q 'ran again: bench.decode/' said || bad "nobody says that a row was timed again: $(cat said)"
"$assay" validate --require-pass timed-report.json >said || bad "what workers timed does not hold: $(cat said)"
[ "$(grep -c '"figures"' timed-report.json)" -eq 4 ] || bad 'not all rows have a speed'
expect 0 'byte for byte' verify timed-report.json timed
expect 0 '2 cases and 2 rows' plan tiny-llama --device host --exclude '*' --dtype fp32 --what decode --n 1,2 --ctx 16 \
  --out rows.json

# Disks that are full or closed.
(trap '' XFSZ; ulimit -f 1; ASSAY_PLANTED='' "$assay" run "${selection[@]}" --jobs 2 --run full >said 2>&1)
code=$?
{ [ $code -ne 0 ] && grep -q 'File too large' said; } || bad "a full disk ended with $code: $(cat said)"
expect 2 'cannot make' run "${selection[@]}" --jobs 2 --run /proc/no/run

# What must be refused.
sed 's/"seed":0/"seed":1/' plan.json >edited.json
expect 2 'changed after it was written' run --executor files --plan edited.json --bundle 0 --run e
expect 2 'edited.json' merge parts --plan edited.json --report e.json
echo '{"plan":1}' >none.json
expect 2 'not a plan' merge parts --plan none.json --report e.json
"$other" worker --plan plan.json --group 0 >said 2>&1
[ $? -eq 2 ] && grep -q 'all who take part must run one program' said || bad "a worker of another build: $(cat said)"
expect 2 'the plan has' worker --plan plan.json --group 99
expect 2 '--plan FILE' run --executor files --bundle 0 --run e
expect 2 '--run FOLDER' run --resume
expect 2 'no folder of a run' run --resume --run nothing
expect 2 'no folder of a run' status nothing
exit $failed
