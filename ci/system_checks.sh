#!/usr/bin/env bash
# Systems of other processes: the engine of this tree through the protocol gives what it gives in process, every fault of
# broken.py is found where it should be, and what speaks no protocol has a clear end. Usage: ci/system_checks.sh ASSAY
set -u
. "$(dirname "$0")/expect.sh"
root=$(cd "$(dirname "$0")/.." && pwd)
adapters=$root/suites/adapters
cd "$work" || exit 1
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-2} OMP_WAIT_POLICY=passive
serve="'$assay' serve"
model=(hf-tiny/llama3 --device host)

# broken FAULT ARGS...: a system with that fault.
broken() { echo "python3 '$adapters/broken.py' --fault $* -- $serve"; }
# counts REPORT: failed and errored cases by suite, "BatchedDecode:fail=7".
counts() {
  "$assay" export csv "$1" 2>/dev/null | python3 -c '
import collections, csv, sys
found = collections.Counter((r["suite"], r["status"]) for r in csv.DictReader(sys.stdin))
print(*sorted(f"{s}:{status}={n}" for (s, status), n in found.items() if status in ("fail", "error")))'
}

# It speaks the protocol, and so does what stands between.
expect 0 '40 checks passed, 0 failed' system-check --system "$serve"
expect 1 'SIGSEGV' system-check --system "$(broken crash --after 9)"
expect 1 '10737418240 bytes' system-check --system "$(broken huge --after 9)"
expect 1 'shared rows that end after 0 bytes' system-check --system "$(broken unwritten --after 9)"
expect 1 'for which it was given no memory' system-check --system "$(broken unwritten --after 0)"

# Bit for bit what it is in process: every case has the same judgements, a float at a time.
suites=(--suite Golden,Prefill,Decode,BatchedDecode,Schedule,Invariance,KnownAnswers --dtype fp32,bf16)
"$assay" run --model hf-tiny/llama3,hf-tiny/gemma4-e2b --device host "${suites[@]}" --report own.json >own.txt ||
  bad "in process: $(tail -3 own.txt)"
"$assay" run --model hf-tiny/llama3,hf-tiny/gemma4-e2b --device host "${suites[@]}" --system "$serve" --report served.json >served.txt ||
  bad "through the protocol: $(tail -3 served.txt)"
"$assay" validate --require-pass served.json >/dev/null || bad 'the report of another system does not hold'
python3 - own.json served.json <<'EOF' || bad 'the engine through the protocol gives something else than in process'
import json, sys
own, served = ({(c['suite'], c['name'], str(c['axes'])): c for c in json.load(open(f))['cases']} for f in sys.argv[1:])
compared = 0
for key, case in served.items():
    if case.get('status', 'pass') == 'skip':
        assert 'another process' in case['reason'], case
        continue
    # Hidden states and kernels are the engine's alone.
    both = {j['metric'] for j in own[key]['judgements']} & {j['metric'] for j in case['judgements']}
    values = [[(j['metric'], j.get('value', 0), j.get('comparisons')) for j in c['judgements'] if j['metric'] in both]
              for c in (own[key], case)]
    compared += values[0] == values[1]
    assert values[0] == values[1], (key, values)
assert compared > 50, compared
system = json.load(open(sys.argv[2]))['environment']
assert system['system']['protocol'] == 1, system['system']
assert system['system']['arithmetic'] == 'bf16: hf-tiny/gemma4-e2b, hf-tiny/llama3; fp32: hf-tiny/gemma4-e2b, hf-tiny/llama3', system['system']
assert system['comparability']['fields']['system'] == 'assay engine', system['comparability']
EOF
expect 5 'system' validate served.json --comparable own.json

# Wrong results are found where they can be seen: rows of a batch by batched suites alone, and not with one session.
for fault in another-row swapped stale nan; do
  "$assay" run "${model[@]}" --dtype fp32 --suite BatchedDecode,Invariance --system "$(broken $fault)" --report $fault.json \
    >said 2>&1
  [ $? -eq 1 ] || bad "$fault: not found: $(tail -3 said)"
  echo "$fault $(counts $fault.json)" >>found
done
diff found - <<'EOF' || bad 'the faults are found elsewhere'
another-row BatchedDecode:fail=7 Invariance:fail=4
swapped BatchedDecode:fail=7 Invariance:fail=2
stale BatchedDecode:fail=8 Invariance:fail=1
nan BatchedDecode:fail=8 Invariance:fail=1
EOF

# What happens once costs one case, and its error says what it was; the next has a fresh process.
while IFS='|' read -r fault text; do
  rm -f once
  "$assay" run "${model[@]}" --dtype fp32 --suite Prefill,Decode --system "$(broken "$fault" --once "$work/once")" \
    --system-timeout 1.5 --report once.json >said 2>&1
  [ $? -eq 1 ] && tr -s '\n ' ' ' <said | grep -qF -- "$text" || bad "$fault: expected '$text', found: $(head -5 said)"
  [ "$(counts once.json)" = Prefill:error=1 ] || bad "$fault: expected one error, found $(counts once.json)"
  grep -q '"request":"step"' said || bad "$fault: the last request is not said"
done <<'EOF'
crash|was killed by signal 11 (SIGSEGV)
crash|it said: about to read what is not there
hang|gave no answer to step within 1.5 s
late|gave no answer to step within 1.5 s
garbage|what is no JSON object: \x00\xff}{
half|bytes before the end of a message
wrong-count|answered step with 9 rows, 8 were asked for
huge|announced 10737418240 bytes behind its answer to step
unwritten|answered step with shared rows that end after 0 bytes, expected
half-shared|answered step with shared rows that end after
stale-shared|they were not written for this answer
EOF
pgrep -f "$work/once" >/dev/null && bad 'a process of a system is left over'

# A declaration is checked, both ways, and one that no twin knows is refused.
declares() { echo "python3 '$adapters/broken.py' --declare '$1' -- $serve"; }
gemma=(hf-tiny/gemma3 --device host --suite Declaration)
expect 0 'PASS: 1 of 1' run "${gemma[@]}" --dtype bf16 --system "$(declares '{}')"
expect 1 'which it declares' run "${gemma[@]}" --dtype bf16 --system "$(declares '{"operands": "fp32", "cache": "fp32"}')"
expect 1 'the declaration is too lax' run "${gemma[@]}" --dtype fp32 --system "$(declares '{"gelu": "fp16 table"}')"
expect 1 'expected one of exact, fp16 table' run "${gemma[@]}" --dtype fp32 --system "$(declares '{"gelu": "by ear"}')"

# Other commands take a system too.
expect 0 'PASS: 2 of 2' golden hf-tiny/qwen3 --dtype fp32 --system "$serve"
timed=(bench --model hf-tiny/llama3 --dtype fp32 --what decode,prefill --n 2 --ctx 32 --prompt 16,2x8 --seconds 0.2)
expect 0 'PASS: 3 of 3 rows timed' "${timed[@]}" --system "$serve" --report bench.json
"$assay" validate --require-pass bench.json >/dev/null || bad 'the report of a timed system does not hold'
[ "$(grep -o 'by the clock of assay engine' bench.json | wc -l)" -eq 3 ] || bad 'a row does not say whose clock it was'
for clock in '2|its own clock says' '0|answered time with other than'; do
  "$assay" "${timed[@]}" --system "python3 '$adapters/broken.py' --clock ${clock%|*} -- $serve" >said 2>&1 &&
    bad "a clock that is ${clock%|*} times right is believed"
  [ "$(tr -s '\n ' ' ' <said | grep -o -- "${clock#*|}" | wc -l)" -ge 3 ] || bad "clock ${clock%|*}: $(tail -8 said)"
done

expect 0 'rows compared' fuzz --seconds 2 --system "$serve"
schedule=(fuzz --model hf-tiny/llama3 --schedule 'sessions=2 capacity=9 chunk=4 rows=16; open a; open b; step a3 b2; fork a c; back a1; step a1 b1; decode a b*2')
expect 0 'PASS: sessions=2' "${schedule[@]}" --system "$serve"
expect 1 'is WRONG' "${schedule[@]}" --system "$(broken swapped --after 0)"
expect 1 'was killed by signal 11 (SIGSEGV)' "${schedule[@]}" --system "$(broken crash --after 0)"
expect 2 'faults are planted inside the engine of this tree' mutate --system "$serve"
expect 2 'excludes' fuzz --fault fork-is-empty --system "$serve"

# What is no system.
expect 2 'ended with code 127' run "${model[@]}" --system /nowhere/at/all
expect 2 'hello' run "${model[@]}" --system 'exec 3<&-; sleep 9'
expect 2 'what is no JSON object: GET' run "${model[@]}" --system 'echo GET / >&3; sleep 9'
expect 2 'gave no answer to hello within 0.5 s' run "${model[@]}" --system 'sleep 9' --system-timeout 0.5
expect 2 'speaks protocol 7' run "${model[@]}" --system \
  'read line <&3; echo "{\"id\": 1, \"protocol\": 7}" >&3; sleep 1'
expect 2 'not spread over workers' run "${model[@]}" --system "$serve" --jobs 2

exit $failed
