#!/usr/bin/env bash
# Runs spread over a real Slurm cluster of three nodes on this machine: a whole one; a case that crashes; a coordinator
# that is killed; a node that dies and whose results arrive late; elements that are told to end, by a person and by their
# time limit; refusals. Usage: ci/slurm/checks.sh ASSAY_WITH_PLANTED_CASES
# Exit 77 with the reason where there can be no cluster.
set -u
here=$(cd "$(dirname "$0")" && pwd)
. "$here/../expect.sh"
. "$here/cluster.sh"
missing=$(cluster_missing)
[ -z "$missing" ] || { echo "all skipped: no Slurm cluster: $missing"; exit 77; }
trap 'cluster_stop; rm -rf "$work"' EXIT
cd "$work" || exit 1
cluster_start "$work/cluster" >said 2>&1 || { cat said; echo "all skipped: no Slurm cluster: its daemons do not start here"; exit 77; }
export OMP_NUM_THREADS=1 OMP_WAIT_POLICY=passive ASSAY_PLANTED='' ASSAY_PLANTED_FOLDER=$work

models=(--model tiny-llama,hf-tiny/qwen3,hf-tiny/qwen2,hf-tiny/mistral --device host --dtype fp32)
slurm=(--executor slurm --sbatch=--gres=gpu:h100:1)
states() { grep -o "\"state\":\"$2\"" "$1" | wc -l; }
report() { # report FILE FOLDER: it holds, and follows from its shard files
  "$assay" validate --require-pass "$1" >said || bad "$1 does not hold: $(tail -3 said)"
  expect 0 'byte for byte' verify "$1" "$2"
}

echo '--- a whole run, and merged again'
expect 0 'PASS: 40 of 40 cases' run "${models[@]}" --suite Decode,Prefill "${slurm[@]}" --run whole --report whole.json
report whole.json whole
expect 0 'PASS: 40 of 40' merge whole --report again.json
cmp whole.json again.json || bad 'merging twice gives other bytes'
"$assay" run "${models[@]}" --suite Decode,Prefill --report here.json >/dev/null
expect 0 PASS gate --reports here.json whole.json

echo '--- a case that crashes costs itself'
ASSAY_PLANTED='segv *Prefill.MatchesReference/tiny-llama/*' expect 1 '39 of 40 cases passed, 0 failed, 1 errored' \
  run "${models[@]}" --suite Decode,Prefill "${slurm[@]}" --run crash --report crash.json
grep -q 'crash: its worker was killed by signal 11 (SIGSEGV)' crash.json || bad 'the report does not name the signal'

echo '--- a coordinator is killed; another goes on; a third is refused meanwhile'
export ASSAY_PLANTED='sleep=0.5 *'
"$assay" run "${models[@]}" --suite Decode,Prefill "${slurm[@]}" --run killed >said 2>&1 &
coordinator=$!
until ls killed/shards/*.part >/dev/null 2>&1; do sleep 0.2; done
expect 2 'another coordinator drives this run' run --run killed --resume --executor slurm
kill -KILL $coordinator
wait $coordinator 2>/dev/null
expect 0 'of 40 cases' status killed
expect 0 'PASS: 40 of 40 cases' run --run killed --resume --executor slurm --report killed.json
report killed.json killed
[ "$(ls killed/shards | wc -l)" -eq 4 ] || bad "a group was run twice: $(ls killed/shards)"

echo '--- a node dies; its work is done again elsewhere, and its own results arrive late'
export ASSAY_PLANTED='sleep=15 *'  # so long that the cluster gives the node up before its cases end
"$assay" run "${models[@]}" --case 'Decode.*/n=1' --case 'Decode.*/n=3' "${slurm[@]}" --run node --report node.json >said 2>&1 &
coordinator=$!
until grep -ql '"node":"n1"' node/shards/*.part 2>/dev/null; do sleep 0.2; done
node_kill n1
wait $coordinator
code=$?
[ $code -eq 0 ] || bad "a run that lost a node ended with $code: $(cat said)"
grep -q 'requeued, restart 1' said || bad "nothing was requeued: $(cat said)"
[ "$(states node.json merged)" -eq 4 ] || bad "$(states node.json merged) groups of 4 are merged"
[ "$(states node.json superseded)" -ge 1 ] || bad 'no late result was seen'
report node.json node
node_start n1

echo '--- an element is told to end: what it had written stays, the rest is submitted again'
# told_to_end RUN COUNT: its element ended when it was told to, with COUNT groups written or more, which were not run
# again.
told_to_end() {
  local log written
  log=$(grep -l 'told to end' "$1"/logs/job-*.log | head -1)
  [ -n "$log" ] || { bad "no element of $1 says that it was told to end: $(tail -n 3 "$1"/logs/job-*.log)"; return; }
  written=$(grep -o 'told to end: [0-9]*' "$log" | grep -o '[0-9]*$' | head -1)
  [ "$written" -ge "$2" ] || bad "$log: $written groups were written before the end"
  grep -q 'were left open by elements that ended: submitted again' said || bad "nothing was submitted again: $(cat said)"
  [ "$(states "$1.json" merged)" -eq 4 ] || bad "$(states "$1.json" merged) groups of 4 are merged"
  # A group that has a file has one: it was not run again.
  [ "$(ls "$1"/shards/*.jsonl | wc -l)" -eq 4 ] || bad "a group was run twice: $(ls "$1/shards")"
}
export ASSAY_PLANTED='sleep=0.3 *'
"$assay" run "${models[@]}" --suite Decode,Prefill "${slurm[@]}" --bundles 1 --run term --report term.json >said 2>&1 &
coordinator=$!
until [ "$(ls term/shards/*.jsonl 2>/dev/null | wc -l)" -ge 1 ]; do sleep 0.1; done
until ls term/shards/*.part >/dev/null 2>&1; do sleep 0.05; done
scancel --batch --signal=TERM --name="$(squeue --noheader --format=%j | head -1)"
wait $coordinator || bad "a run whose element was told to end: $(cat said)"
told_to_end term 1
report term.json term

echo '--- a time limit: Slurm sends SIGUSR1 before it'
# It looks every 30 s, and sends the signal up to 30 s early: 10 to 40 s after an element's start, which has work for 45.
export ASSAY_PLANTED='sleep=1.1 *'
"$assay" run "${models[@]}" --suite Decode,Prefill "${slurm[@]}" --bundles 1 --run limit --report limit.json \
  --sbatch=--time=1 --sbatch=--signal=B:USR1@20 >said 2>&1 || bad "a run with a time limit: $(cat said)"
told_to_end limit 0
report limit.json limit

echo '--- a shard file that was damaged is run again alone'
export ASSAY_PLANTED=''
file=$(ls whole/shards/*.jsonl | head -1)
truncate -s -10 "$file"
expect 4 'truncated: group 0' merge whole --report damaged.json
expect 0 'PASS: 40 of 40 cases' run --run whole --resume --group 0 "${slurm[@]}" --report mended.json
[ "$(ls whole/shards | wc -l)" -eq 5 ] || bad "more than one group was run again: $(ls whole/shards)"

echo '--- refusals'
expect 2 'sbatch' run tiny-llama --device host --suite Decode --executor slurm --sbatch=--gres=gpu:b200:1 --run refused
expect 2 'Requested node configuration is not available' run --run refused --resume --executor slurm \
  --sbatch=--gres=gpu:b200:1
PATH=/nowhere "$assay" run tiny-llama --device host --suite Decode --executor slurm --run absent >said 2>&1
[ $? -eq 2 ] && grep -q 'sbatch' said || bad "without sbatch: $(cat said)"
exit $failed
