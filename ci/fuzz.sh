#!/usr/bin/env bash
# Fuzzes readers and engine: ci/fuzz.sh FOLDER_OF_PROGRAMS SECONDS [TARGET...]. Seeds are the fixtures; what is new to a
# target is kept beside them in build/fuzz/corpus, what breaks it in build/fuzz/findings.
set -euo pipefail
cd "$(dirname "$0")/.."
programs=$1 seconds=$2
shift 2
targets=("${@:-}")
[ -n "${targets[0]}" ] || targets=(config safetensors index gguf goldens report schedule)
fixtures=suites/fixtures corpus=build/fuzz/corpus findings=build/fuzz/findings

# seeds TARGET: copies of fixtures that its reader reads. Small ones: an execution takes as long as its input is.
seeds() {
  local number=0 file
  seed() { cp "$1" "$corpus/$target/seed-$((number += 1))"; }
  case $1 in
    config) for file in "$fixtures"/goldens/hf-tiny/*/config.json "$fixtures"/public/*/config.json; do seed "$file"; done ;;
    index) printf '{"weight_map":{"a":"model.safetensors"}}' >"$corpus/$1/seed-1" ;;
    gguf) find "$fixtures" -name '*.gguf' -size -20k >"$corpus/list" ;;
    safetensors) find "$fixtures" -name '*.safetensors' -size -8k >"$corpus/list" ;;
    goldens) find "$fixtures" '(' -name '*.logits.json' -o -name 'goldens.safetensors' ')' -size -16k >"$corpus/list" ;;
    report)
      for file in reports/policy/*.json; do seed "$file"; done
      # Small kept reports as they are, and one of each kind that has become small.
      while read -r file; do gzip -dc "$file" >"$corpus/$1/kept-$((number += 1))"; done \
        < <(find reports/history -name '*.json.gz' -size -3k | head -8)
      ;;
    schedule) head -c 64 /dev/zero | tr '\0' '\7' >"$corpus/$1/seed-1" ;;
  esac
  [ ! -e "$corpus/list" ] || while read -r file; do seed "$file"; done <"$corpus/list"
  rm -f "$corpus/list"
  cp "$fixtures/fuzz/$1"/* "$corpus/$1/" 2>/dev/null || true
}

code=0
mkdir -p "$findings"
for target in "${targets[@]}"; do
  mkdir -p "$corpus/$target"
  seeds "$target"
  log=build/fuzz/$target.log longest=$((1 << 14))
  [ "$target" != report ] || longest=$((1 << 16))
  if OMP_NUM_THREADS=1 ASAN_OPTIONS=detect_leaks=0:allocator_may_return_null=1 "$programs/assay_fuzz_$target" "$corpus/$target" \
      -max_len="$longest" -max_total_time="$seconds" -timeout=30 -rss_limit_mb=3000 -print_final_stats=1 \
      -artifact_prefix="$findings/$target-" >"$log" 2>&1; then
    echo "fuzz $target: $(sed -n 's/^stat::number_of_executed_units: *//p' "$log") executions in $seconds s, no finding"
  else
    code=1
    echo "fuzz $target: a finding; to run it again: $programs/assay_fuzz_$target $(ls -t "$findings/$target-"* | head -1)"
    grep -E 'ERROR|terminate|what\(\)|runtime error|SUMMARY' "$log" | head -5
  fi
done
exit "$code"
