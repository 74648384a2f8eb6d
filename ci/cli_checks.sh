#!/usr/bin/env bash
# The everyday command line: lists, hints, stops, seeds, interrupts, colours, completion. Usage: ci/cli_checks.sh ASSAY
set -u
. "$(dirname "$0")/expect.sh"
here=$(cd "$(dirname "$0")" && pwd)
quick=(tiny-llama --suite Prefill --dtype fp32 --device host)

# Lists: commas, wildcards, options given twice, a model with its option or without.
expect 0 '16 of 16 cases passed' run tiny-llama,tiny-gemma3 --suite 'Pref*' --dtype 'fp??' --device host
expect 0 '8 of 8 cases passed' run --model tiny-llama --model tiny-gemma3 --suite Prefill --dtype fp32 --device host
expect 0 '10 of 10 cases passed' run tiny-llama --suite Prefill,Decode --dtype fp32 --device host
expect 0 '2 of 2 cases passed' run "${quick[@]}" --case '*Chunked*' --case '*Packed*'
expect 0 '3 of 3 cases passed' run "${quick[@]}" --exclude '*Chunked*'
expect 0 '4 of 4 cases passed' run tiny-llama --suite Prefill,Decode --exclude Decode --dtype fp32 --device host
expect 0 'KV plan' inspect --model tiny-llama
rows=(bench tiny-llama --dtype fp32 --device host --ctx 8 --seconds 0.02)
expect 0 'PASS' "${rows[@]}" --n 1,2 --report "$work/rows.json"
expect 0 '1 of 1 rows timed, 2 of 2 covering cases passed' "${rows[@]}" --n 2 --evidence "$work/rows.json" --report "$work/again.json"
"$assay" validate --require-pass "$work/again.json" >/dev/null || bad 'a report that rests on evidence does not hold'
expect 2 "its seed is '0', this process' '3'" "${rows[@]}" --n 2 --evidence "$work/rows.json" --seed 3
expect 2 'it has no row of bench.decode/tiny-llama/fp32/host/n=4/context=8' "${rows[@]}" --n 4 --evidence "$work/rows.json"
expect 2 'it has no model tiny-qwen3' bench tiny-qwen3 --dtype fp32 --device host --ctx 8 --n 1 --evidence "$work/rows.json"
expect 2 'no limits of bf16' bench tiny-llama --dtype bf16 --device host --ctx 8 --n 1 --evidence "$work/rows.json"
sed 's/"build_id":"[^"]*"/"build_id":"feed"/' "$work/rows.json" >"$work/other.json"
expect 2 "its build is 'feed'" "${rows[@]}" --n 2 --evidence "$work/other.json"
expect 0 'rows timed' bench tiny-llama --what dec* --n 1,2 --ctx 8,9 --dtype fp32 --device host --seconds 0.02

# Hints.
expect 2 "did you mean 'run'?" rnu
expect 2 "did you mean 'Prefill'?" run --suite Prefil
expect 4 "did you mean 'tiny-llama'?" run tiny-lama
expect 2 "did you mean 'fp16'?" run tiny-llama --dtype f16
expect 2 'there is no such file or folder' run ./no/such/folder
expect 2 'there is no such file or folder' golden absent.gguf
expect 4 'tiny-llama: no window' run tiny-llama --suite RingWrap --dtype fp32 --device host

# A device that was promised.
expect 0 'PASS' run "${quick[@]}" --require host
expect 4 'no case ran on cuda:63' run "${quick[@]}" --require cuda:63

# What is printed.
expect 0 'slowest cases' run "${quick[@]}" --durations 2
[ "$("$assay" run "${quick[@]}" --quiet | wc -l)" -eq 1 ] || bad '--quiet prints more than a line'
"$assay" list --cases "${quick[@]}" --json | python3 -c '
import json, sys
cases = json.load(sys.stdin)["cases"]
assert len(cases) == 4 and cases[0]["axes"]["model"] == "tiny-llama" and cases[0]["seconds"] > 0' || bad 'list --json'
"$assay" inspect tiny-llama --json | python3 -c '
import json, sys
model = json.load(sys.stdin)
assert model["ple_width"] == 0 and model["layers"][0]["kv_heads"] == 2 and model["layers"][0]["rotated_pairs"] == 8' || bad 'inspect --json'
colours=$(FORCE_COLOR=1 "$assay" run "${quick[@]}")
grep -q $'\033' <<<"$colours" || bad 'FORCE_COLOR is not heard'
grep -q $'\033\[31m' <<<"$colours" && bad 'something is red where nothing failed'
NO_COLOR=1 FORCE_COLOR=1 "$assay" run "${quick[@]}" | grep -q $'\033' && bad 'NO_COLOR is not heard'

# Seeds: an axis only where there are several.
expect 0 'no case flipped between seeds' run "${quick[@]}" --repeat 2 --report "$work/seeds.json"
grep -q '"seed": *1' "$work/seeds.json" || bad 'the seed is no axis'
expect 0 'valid, PASS' validate "$work/seeds.json"
"$assay" list --cases "${quick[@]}" | grep -q seed && bad 'one seed is an axis'

# A failure: goldens that another model recorded. Short lines, a replay that runs as pasted, and again by its report.
cp -r "$here/../suites/fixtures/goldens/hf-tiny/llama3" "$work/llama3"
python3 - "$work/llama3/config.json" <<'PY'
import json, sys
config = json.load(open(sys.argv[1]))
config["rms_norm_eps"] = 0.5
json.dump(config, open(sys.argv[1], "w"))
PY
(cd "$work" &&
  "$assay" run llama3 --suite Golden,Prefill --dtype fp32 --device host --report failed.json >failed.txt 2>&1)
[ $? -eq 1 ] || bad 'a model with another norm does not fail its goldens'
[ "$(grep -v 'replay:' "$work/failed.txt" | awk 'length > 200' | wc -l)" -eq 0 ] ||
  bad 'a failure has lines beyond 200 columns'
replay=$(sed -n 's/^  replay: //p' "$work/failed.txt" | head -1)
(cd / && eval "$replay") >"$work/replayed.txt" 2>&1
[ $? -eq 1 ] && grep -q '1 failed' "$work/replayed.txt" ||
  bad "the replay line does not run as pasted: $replay"
grep -q "$work" "$work/failed.json" && grep -o '"replay": "[^"]*"' "$work/failed.json" | grep -q "$work" &&
  bad 'the report holds a path of this machine'
(cd "$work" && "$assay" run --rerun-failed failed.json --report again.json) >"$work/again.txt" 2>&1
[ $? -eq 1 ] && ! grep -q 'Prefill ' "$work/again.txt" || bad '--rerun-failed runs other cases than the failed ones'
expect 4 'no case failed' run --rerun-failed "$work/seeds.json"
(cd "$work" && "$assay" run llama3 --suite Golden --device host --fail-fast) >"$work/fast.txt" 2>&1
[ $? -eq 1 ] && grep -q 'stopped after 1 failure' "$work/fast.txt" || bad '--fail-fast goes on'
expect 1 'a pass is required' validate --require-pass "$work/failed.json"
expect 0 'valid, FAIL' validate "$work/failed.json"
expect 1 'valid, PASS' validate "$work/seeds.json" "$work/failed.json" --require-pass
"$assay" validate - <"$work/seeds.json" | grep -q 'valid, PASS' || bad 'validate does not read standard input'

# Ends that nobody wanted: what has finished is in the report.
interrupt() {  # SIGNAL EXIT_CODE ARGUMENTS...
  local signal=$1 wanted=$2 name=$1-$3 pid code
  shift 2
  "$assay" "$@" --device host --report "$work/$name.json" >"$work/$name.txt" 2>&1 &
  pid=$!
  for _ in $(seq 300); do [ -e "$work/$name.json" ] && break; sleep 0.1; done
  sleep 0.5
  kill -"$signal" "$pid"
  wait "$pid"
  code=$?
  [ "$code" -eq "$wanted" ] || bad "$1 after SIG$signal: the exit code is $code"
  grep -q 'INCOMPLETE:' "$work/$name.txt" || bad "$1 after SIG$signal: there is no last line"
  expect 4 "interrupted by SIG$signal" validate "$work/$name.json"
}
interrupt INT 130 run '*-nano'
interrupt TERM 143 run '*-nano'
interrupt INT 130 bench gemma4-nano --n 1,8,32 --seconds 60
expect 4 'took more than 0.001 s' run "${quick[@]}" --timeout 0.001 --report "$work/timeout.json"
expect 4 'took more than 0.001 s' validate "$work/timeout.json"
expect 2 'this process may have' run gemma4-31b --suite Decode --dtype fp32 --device host

# What is made of the options.
expect 0 'embedded models' doctor
for shell in bash zsh fish; do expect 0 'rerun-failed' completion "$shell"; done
"$assay" completion bash >"$work/assay.bash"
bash -c "source '$work/assay.bash'; COMP_WORDS=(assay run --suite Pre); COMP_CWORD=3; _assay
         [ \"\${COMPREPLY[*]}\" = Prefill ]" ||
  bad 'bash does not complete a suite'
bash -c "source '$work/assay.bash'; COMP_WORDS=(assay export goo); COMP_CWORD=2; _assay
         [ \"\${COMPREPLY[*]}\" = google-benchmark ]" ||
  bad 'bash does not complete a format'
expect 0 '.SH "ASSAY run"' manual
exit $failed
