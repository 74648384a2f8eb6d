#!/usr/bin/env bash
# Runs spread over the GPUs of one machine, which must have two or more of one kind: how much faster two are (and four
# where there are four), a worker whose device is gone, a shard file of another GPU, a worker that waits for memory
# which another process holds, benchmarks timed by workers. Ends with a table; 1 when a line of it is not as expected.
# Usage: ci/spread_on_gpus.sh ASSAY ASSAY_WITH_PLANTED_CASES FOLDER; reports go to FOLDER.
# ASSAY_MODELS (default: *-nano,tiny-*) and ASSAY_DTYPES (default: fp32,bf16,fp16) choose what the speed is measured on.
# Runs on several GPUs are planned by the durations that one GPU's report has, as a nightly run's are by the last one's.
set -u
. "$(dirname "$0")/expect.sh"
planted=$(realpath "$2")
mkdir -p "$3" && out=$(realpath "$3")
mapfile -t gpus < <(nvidia-smi --query-gpu=uuid --format=csv,noheader)
[ ${#gpus[@]} -ge 2 ] || { echo "all skipped: ${#gpus[@]} GPU(s) here, two are needed"; exit 77; }
kind=$(nvidia-smi --query-gpu=name --format=csv,noheader | head -1)
absent=GPU-00000000-0000-0000-0000-000000000000
models=${ASSAY_MODELS:-'*-nano,tiny-*'} dtypes=${ASSAY_DTYPES:-fp32,bf16,fp16}
small=(tiny-llama,hf-tiny/qwen3 --device cuda --dtype fp32 --suite Decode,Prefill)
cd "$work" || exit 1
table=()

# line WHAT FOUND EXPECTED OK: a row of the table; OK is 0 where it is as expected.
line() {
  table+=("$(printf '%-52s %-34s %-26s %s' "$1" "$2" "$3" "$([ "$4" -eq 0 ] && echo ok || echo NO)")")
  [ "$4" -eq 0 ] || failed=1
}
# said TEXT FILE: 0 where the file has it.
said() { grep -qF -- "$1" "$2"; }
# number FORMULA: its value, 0 or 1 of a comparison.
number() { awk "BEGIN { printf \"%.4g\", ($1) }"; }
first() { local list; list=$(IFS=,; echo "${gpus[*]:0:$1}"); echo "$list"; }

# spread COUNT [ARGUMENT...]: the suites on so many GPUs; sets took (seconds).
spread() {
  local start count=$1
  shift
  start=$(date +%s.%N)
  CUDA_VISIBLE_DEVICES=$(first "$count") "$assay" run --model "$models" --device cuda --dtype "$dtypes" --executor local \
    --report "$out/gpus-$count.json.gz" "$@" >"$out/gpus-$count.txt" 2>&1
  code=$?
  took=$(number "$(date +%s.%N) - $start")
  [ $code -eq 0 ] || tail -n 5 "$out/gpus-$count.txt"
}

echo "${#gpus[@]} x $kind"
"$assay" run tiny-llama --device cuda >/dev/null # the driver's caches are filled
spread 1
alone=$took
line '1 GPU: all suites' "$took s, code $code" 'code 0' $code
for wanted in 2:1.8 4:3.4; do
  count=${wanted%:*} times=${wanted#*:}
  [ ${#gpus[@]} -ge "$count" ] || continue
  spread "$count" --durations-from "$out/gpus-1.json.gz"
  ratio=$(number "$alone / $took")
  line "$count GPUs: all suites" "$took s, $ratio x, code $code" ">= $times x, code 0" \
    $((code + $(number "$ratio < $times")))
  "$assay" gate --reports "$out/gpus-1.json.gz" "$out/gpus-$count.json.gz" >"$out/gate-$count.txt" 2>&1
  code=$?
  line "$count GPUs: the same verdicts" "code $code" 'code 0' $code
  places=$(zcat "$out/gpus-$count.json.gz" | grep -o '"gpu":"[^"]*"' | sort -u | wc -l)
  line "$count GPUs: named in the report" "$places" "$count" $((places != count))
done

# A device that is gone: one leg of a matrix sees none. Its shard file is refused by name, and mended on another device.
"$assay" plan "${small[@]}" --gpu "${kind#NVIDIA }" --workers 4 --bundles 2 --out plan.json >/dev/null || exit 1
leg() { # leg DEVICE BUNDLE ATTEMPT
  CUDA_VISIBLE_DEVICES=$1 "$assay" run --executor files --plan plan.json --bundle "$2" --attempt "$3" \
    --run "parts/$2-$3"
}
leg "${gpus[0]}" 0 1 >said 2>&1
leg $absent 1 1 >>said 2>&1
"$assay" merge parts --plan plan.json --report lost.json >refused 2>&1
code=$?
said 'wrong_gpu: group' refused && said 'on no GPU' refused
named=$?
line 'a worker whose device is gone' "code $code, $(grep -o -m1 'on no GPU' refused)" 'code 4, on no GPU' \
  $((named + (code != 4)))
leg "${gpus[1]}" 1 2 >said 2>&1
"$assay" merge parts --plan plan.json --report mended.json >mended 2>&1
code=$?
line '... run again on another' "code $code, $(grep -c superseded mended) superseded" 'code 0' $code

# Another GPU than the plan's.
"$assay" plan "${small[@]}" --gpu 'of another kind' --bundles 1 --out other.json >/dev/null
CUDA_VISIBLE_DEVICES=${gpus[0]} "$assay" run --executor files --plan other.json --bundle 0 --run other >said 2>&1
"$assay" merge other --plan other.json --report other-report.json >refused 2>&1
code=$?
said "on '$kind', the plan asks for 'of another kind'" refused
named=$?
line 'a shard file of another GPU' "code $code, $(grep -o -m1 wrong_gpu refused)" 'code 4, wrong_gpu' \
  $((named + (code != 4)))

# A worker dies while another process holds memory of its device: the next one starts once that is free again.
mapfile -t ids < <("$planted" list --cases --model tiny-llama --device cuda --dtype fp32 --suite Decode)
hold() { # hold SECONDS BYTES: of the first device
  CUDA_VISIBLE_DEVICES=${gpus[0]} python3 - "$@" <<'END'
import ctypes, sys, time
cuda = ctypes.CDLL("libcuda.so.1")
device, context, held = ctypes.c_int(), ctypes.c_void_p(), ctypes.c_uint64()
for code in (cuda.cuInit(0), cuda.cuDeviceGet(ctypes.byref(device), 0),
             cuda.cuCtxCreate_v2(ctypes.byref(context), 0, device),
             cuda.cuMemAlloc_v2(ctypes.byref(held), ctypes.c_size_t(int(sys.argv[2])))):
    assert code == 0, code
time.sleep(float(sys.argv[1]))
END
}
workers() { cat /proc/"$1"/task/*/children 2>/dev/null | wc -w; }
export ASSAY_PLANTED="sleep=8 ${ids[0]};kill-once ${ids[1]}" ASSAY_PLANTED_FOLDER=$work
CUDA_VISIBLE_DEVICES=${gpus[0]} "$planted" run tiny-llama --device cuda --dtype fp32 --suite Decode --executor local \
  --run held --report held.json >"$out/held.txt" 2>&1 &
coordinator=$!
until ls held/shards/*.part >/dev/null 2>&1 || ! kill -0 $coordinator 2>/dev/null; do sleep 0.1; done
hold 16 $((20 << 30)) & # begun while the first worker sleeps, held for 8 s after its death
holder=$!
until said 'its worker was killed' "$out/held.txt" || ! kill -0 $coordinator 2>/dev/null; do sleep 0.1; done
sleep 3
meanwhile=$(workers $coordinator)
kill -0 $holder 2>/dev/null || meanwhile='the holder had ended'
wait $holder
wait $coordinator
code=$?
unset ASSAY_PLANTED
[ "$meanwhile" = 0 ] && said 'ran again' "$out/held.txt"
waited=$?
line 'a worker waits for memory that another holds' "$meanwhile meanwhile, then code $code" '0 meanwhile, then code 0' \
  $((code + waited))

# What is timed, a GPU for each group; beside it the same in one process.
timed=(gemma4-nano,qwen3-nano --device cuda --dtype bf16 --what decode --n 1,8 --ctx 512 --seconds 2)
"$assay" plan "${timed[@]}" --exclude '*' --out timed.json >said 2>&1 || cat said
CUDA_VISIBLE_DEVICES=$(first 2) "$assay" run --executor local --plan timed.json --run timed \
  --report "$out/timed.json.gz" >"$out/timed.txt" 2>&1
code=$?
rows=$(zcat "$out/timed.json.gz" | grep -c '"figures"')
line 'rows timed by workers of two GPUs' "code $code, $rows rows" 'code 0, 4 rows' $((code + (rows != 4)))
CUDA_VISIBLE_DEVICES=${gpus[0]} "$assay" bench "${timed[@]}" --report "$out/bench.json.gz" >"$out/bench.txt" 2>&1
slowest=$(python3 - "$out/timed.json.gz" "$out/bench.json.gz" <<'END'
import gzip, json, sys
def times(path):
    rows = json.load(gzip.open(path))["benchmarks"]
    return {json.dumps(row["axes"]): row["figures"]["p50_s"] for row in rows if "figures" in row}
spread, alone = (times(path) for path in sys.argv[1:])
print(f"{100 * max(abs(spread[key] / alone[key] - 1) for key in alone):.1f}")
END
)
line '... against assay bench, the row that differs most' "$slowest %" '< 5 %' "$(number "${slowest:-100} > 5")"
printf '%-52s %-34s %-26s\n' what found expected
printf '%s\n' "${table[@]}"
exit $failed
