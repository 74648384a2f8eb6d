#!/usr/bin/env bash
# The jobs of CI, the same by hand: ci/run.sh JOB, which is one of
#   setup   install the Debian packages that are missing (as root), or print the command and stop with 2
#   parity  build the assay command, run the oracle suites on the embedded models on the best device, write the report
#   test    build everything, run all tests with CTest; the last line counts passed, failed and skipped
#   bench   time rows on the best device, write the report
#   precheck  before pushing: what changed since the merge base decides which checks run, in one or two minutes;
#           hook: git runs it before each push
#   nightly the recipe of suites/README.md in a scratch copy; a merge of a million records; 200 runs whose workers,
#           coordinator and disk are disturbed; the catalogue of faults under five seeds; ten minutes of random
#           schedules; 60 seeds of the suites that are exact, over all tiny models: no case may flip; adds its report to
#           the history (ASSAY_HISTORY, default: build/history.db) and writes the trend page, build/reports/trend.html;
#           writers of a history that are killed a hundred times, and pairs of writers of one report, five hundred times
#   llama   a Python with llama.cpp from PyPI in build/llama, which test makes too where PyPI answers; judges it
#   asan    test under AddressSanitizer and UBSan; tsan: under ThreadSanitizer; clang: test what Clang builds, each file
#           and header alone
#   fuzz    [SECONDS]: libFuzzer on each reader of files and on an engine's schedules, default: a minute each
#   device-sanitizers  on a GPU machine: op tests and nano suites under memcheck, synccheck, initcheck and racecheck
#   package a Debian package of the command and its models in build/PRESET
#   format  check formatting
# Environment: ASSAY_PRESET (default: cuda where nvcc is found and a driver answers, for `test` where nvcc is found, else
# host; cuda promises a GPU, and parity fails without one), ASSAY_REPORT (default: build/reports/parity.json),
# JOBS (default: the number of cores), ASSAY_PARITY_ARGS (arguments of `assay run` instead of the default selection),
# ASSAY_BENCH_ARGS (arguments of `assay bench`), ASSAY_NIGHTLY_SEEDS (default: 60),
# ASSAY_CHAOS_RUNS (default: 200), ASSAY_CHAOS_SEED (default: 1), ASSAY_REPORT_KILLS (default: 500).
# In GitHub Actions parity and bench add to the step's summary and annotate what did not pass.
set -euo pipefail
cd "$(dirname "$0")/.."

packages=(build-essential cmake ninja-build git libfmt-dev nlohmann-json3-dev libcli11-dev libvalijson-dev libssl-dev
          libgtest-dev libbenchmark-dev libtinyxml2-dev libboost-math-dev zlib1g-dev libsqlitecpp-dev
          libsqlite3-dev libjs-dygraphs)
# Programs that tests call: readers of exports (compare.py of Google Benchmark needs SciPy and does not say so), a browser
# for the trend page, and Slurm.
readers=(python3 python3-junitparser libbenchmark-tools python3-scipy chromium chromium-driver python3-selenium
         sqlite3 slurm-wlm dash zsh python3-venv faketime)
clang=(clang libomp-dev)
jobs=${JOBS:-$(nproc)}
# Threads that spin while they wait starve their neighbours on a busy machine.
export OMP_WAIT_POLICY=${OMP_WAIT_POLICY:-passive}

fail() { echo "ci/run.sh: $1" >&2; exit "${2:-1}"; }

# setup [PACKAGE...]: what builds need, and these.
setup() {
  local wanted=("${packages[@]}" "$@")
  if ! command -v dpkg-query >/dev/null; then
    echo "ci/run.sh: no dpkg here: make sure these are installed: ${wanted[*]}" >&2
    return 0
  fi
  local missing=() package
  for package in "${wanted[@]}"; do
    dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null | grep -qx installed || missing+=("$package")
  done
  [ ${#missing[@]} -eq 0 ] && return 0
  if [ "$(id -u)" -ne 0 ]; then
    fail "missing packages; run: sudo apt-get update && sudo apt-get install -y --no-install-recommends ${missing[*]}" 2
  fi
  echo "installing: ${missing[*]}"
  # -qq still draws progress of dpkg piece by piece; a log wants it only when something went wrong.
  local log
  log=$(mktemp)
  if ! { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq -o Dpkg::Use-Pty=0 \
      --no-install-recommends "${missing[@]}"; } >"$log" 2>&1; then
    cat "$log" >&2
    fail "apt-get could not install them" 2
  fi
  rm -f "$log"
}

nvcc_found() { command -v nvcc >/dev/null || [ -x /usr/local/cuda/bin/nvcc ] || [ -n "${CUDACXX:-}" ]; }

driver_answers() { command -v nvidia-smi >/dev/null && nvidia-smi -L 2>/dev/null | grep -q '^GPU'; }

# choose_preset JOB: sets preset and says why. Tests compile all that this machine can compile; a toolkit without a driver,
# as in most build containers, would make the other jobs build kernels that nobody runs.
choose_preset() {
  local why
  if [ -n "${ASSAY_PRESET:-}" ]; then
    preset=$ASSAY_PRESET why="ASSAY_PRESET asks for it"
  elif ! nvcc_found; then
    preset=host why="no nvcc was found"
  elif ! driver_answers && [ "$1" = test ]; then
    preset=cuda why="nvcc was found; no NVIDIA driver answers, so that what needs a GPU is compiled and its tests are skipped"
  elif ! driver_answers; then
    preset=host why="nvcc was found, but no NVIDIA driver answers; ASSAY_PRESET=cuda builds for CUDA all the same"
  else
    preset=cuda why="nvcc was found and $(nvidia-smi -L | grep -c '^GPU') GPU(s) answer"
  fi
  echo "ci/run.sh: preset $preset: $why"
}

# build PRESET [TARGET...]
build() {
  local preset=$1 launcher=()
  shift
  if command -v ccache >/dev/null; then
    launcher=(-DCMAKE_CXX_COMPILER_LAUNCHER=ccache)
    [ "$preset" = cuda ] && launcher+=(-DCMAKE_CUDA_COMPILER_LAUNCHER=ccache)
  fi
  cmake --preset "$preset" ${launcher[@]+"${launcher[@]}"}
  cmake --build --preset "$preset" -j "$jobs" ${1:+--target "$@"}
}

run_tests() {
  local preset=$1 log=build/$1/Testing/summary.txt code=0
  mkdir -p "$(dirname "$log")"
  # One more than there are cores: some mostly wait, for a cluster of Slurm or for processes that were killed.
  ctest --preset "$preset" -j $((jobs + 1)) | tee "$log" || code=$?
  local skipped failed passed
  skipped=$(grep -cE '\*\*\*Skipped' "$log" || true)
  failed=$(grep -cE '\*\*\*(Failed|Timeout|Exception|Not Run)|\*\*\*.*(SegFault|Subprocess aborted)' "$log" || true)
  passed=$(grep -cE ' Passed +[0-9.]+ sec' "$log" || true)
  # CTest says neither why a test was skipped nor that all were.
  grep -hE '^all skipped: ' "build/$preset/Testing/Temporary/LastTest.log" 2>/dev/null | sort | uniq -c |
    sed 's/^ *\([0-9]*\) all skipped: /skipped \1: /' || true
  echo "ci/run.sh test: $passed passed, $failed failed, $skipped skipped"
  [ "$passed" -gt 0 ] || [ "$code" -ne 0 ] || fail "no test ran" 4
  return "$code"
}

# llama_wheel: llama.cpp as a wheel of PyPI in an environment of its own, at a version that is known. Where PyPI does not
# answer, the tests that need it are skipped and say so.
llama_wheel() {
  local python=build/llama/bin/python
  "$python" -c 'import cyllama' 2>/dev/null && return
  { python3 -m venv build/llama && "$python" -m pip install -q --disable-pip-version-check --retries 1 --timeout 10 \
      cyllama==0.2.18; } >build/llama.log 2>&1 || { echo "ci/run.sh: no llama.cpp: $(tail -1 build/llama.log)"; return 1; }
}

llama() {
  setup python3-venv
  choose_preset llama
  build "$preset" assay
  llama_wheel || fail "the wheel cyllama could not be installed" 4
  exec ci/llama_checks.sh "build/$preset/bin/assay" build/reports/llama
}

test_with() {
  setup "${readers[@]}"
  mkdir -p build
  llama_wheel || true
  build "$1"
  run_tests "$1"
}

test_here() {
  choose_preset test
  test_with "$preset"
}

# written_to REPORT: sets outputs to the options that write it, and what CI systems read beside it.
written_to() {
  mkdir -p "$(dirname "$1")"
  local stem=${1%.gz}
  outputs=(--report "$1" --junit "${stem%.json}.xml")
  [ "${GITHUB_ACTIONS:-}" != true ] || outputs+=(--github ${GITHUB_STEP_SUMMARY:+--summary "$GITHUB_STEP_SUMMARY"})
}

parity() {
  setup
  choose_preset parity
  local report arguments
  report=${ASSAY_REPORT:-build/reports/parity.json}
  build "$preset" assay
  written_to "$report"
  arguments=(--model '*-nano*,hf-tiny/*,gguf-tiny/*' --dtype fp32)
  [ -n "${ASSAY_PARITY_ARGS:-}" ] && read -r -a arguments <<<"$ASSAY_PARITY_ARGS"
  # A GPU that was promised and is not there must not pass on the host in silence.
  [ "${ASSAY_PRESET:-}" = cuda ] && arguments+=(--require cuda)
  exec "build/$preset/bin/assay" run "${arguments[@]}" "${outputs[@]}"
}

bench() {
  setup
  choose_preset bench
  build "$preset" assay
  written_to build/reports/bench.json.gz
  local arguments
  read -r -a arguments <<<"${ASSAY_BENCH_ARGS:-}"
  # As for parity: speeds of the host are not what was promised.
  [ "${ASSAY_PRESET:-}" = cuda ] && arguments+=(--device cuda)
  exec "build/$preset/bin/assay" bench ${arguments[@]+"${arguments[@]}"} "${outputs[@]}"
}

precheck() {
  local base=${ASSAY_BASE:-}
  [ -n "$base" ] || base=$(git merge-base HEAD origin/HEAD 2>/dev/null || git merge-base HEAD origin/main 2>/dev/null ||
    git merge-base HEAD main 2>/dev/null) || fail "no merge base with origin or main: ASSAY_BASE names a commit" 2
  base=$(git rev-parse --verify --quiet "$base^{commit}") || fail "ASSAY_BASE=$ASSAY_BASE is no commit" 2
  local checks
  checks=$(ci/precheck.sh --plan "$base")
  echo "ci/run.sh precheck: changes since ${base:0:12} ask for: ${checks//$'\n'/, }${checks:+ }${checks:-nothing}"
  [ -n "$checks" ] || return 0
  setup
  choose_preset precheck
  command -v ccache >/dev/null && export CMAKE_CXX_COMPILER_LAUNCHER=ccache CMAKE_CUDA_COMPILER_LAUNCHER=ccache
  local targets=(assay)
  [[ $checks == *ops* ]] && targets+=(assay_op_tests)
  build "$preset" "${targets[@]}"
  exec ci/precheck.sh "$base" "$preset"
}

install_hook() {
  local hook
  hook=$(git rev-parse --git-path hooks)/pre-push
  if [ -e "$hook" ] && ! grep -q 'ci/run.sh precheck' "$hook"; then
    fail "$hook exists and is another's: add the line 'ci/run.sh precheck' to it" 2
  fi
  mkdir -p "$(dirname "$hook")"
  printf '#!/bin/sh\nexec ci/run.sh precheck\n' >"$hook"
  chmod +x "$hook"
  echo "ci/run.sh: git runs the precheck before each push; git push --no-verify leaves it out"
}

nightly() {
  setup "${readers[@]}"
  choose_preset nightly
  ci/recipes.sh
  local began=$SECONDS code=0 assay=build/$preset/bin/assay
  build "$preset" assay assay_make_history assay_with_planted_cases assay_merge_at_scale
  local took=$((SECONDS - began))
  mkdir -p build/reports
  "build/$preset/bin/assay_merge_at_scale" --groups 10000 --cases 100 --workers 1000 --loss 0.01 --seed 1
  python3 ci/spread/chaos.py "build/$preset/bin/assay_with_planted_cases" --runs "${ASSAY_CHAOS_RUNS:-200}" \
    --seed "${ASSAY_CHAOS_SEED:-1}"
  "$assay" mutate --device host --seeds 5 --quiet --report build/reports/mutate.json.gz
  "$assay" fuzz --seconds "${ASSAY_FUZZ_SECONDS:-600}"
  "$assay" run 'tiny-*,hf-tiny/*,gguf-tiny/*' --suite CacheAliasing,RingWrap,Schedule,Invariance --device host \
    --repeat "${ASSAY_NIGHTLY_SEEDS:-60}" --report build/reports/nightly.json.gz --measure "build_time=$took:s" \
    --measure "program_size=$(stat -c %s "$assay"):byte" || code=$?
  python3 ci/shared_report.py "$assay" --kills "${ASSAY_REPORT_KILLS:-500}" || [ $? -eq 77 ] || code=1
  ASSAY_KILLS=100 ci/history_checks.sh "$assay" "build/$preset/bin/assay_make_history" || code=1
  trend "$assay" || code=$?
  return "$code"
}

fuzz() {
  setup "${clang[@]}"
  build fuzz assay_fuzz_{config,safetensors,index,gguf,goldens,report,schedule}
  exec ci/fuzz.sh build/fuzz/bin "${1:-60}"
}

# trend ASSAY: what was kept and what this machine found, night by night, as a page.
trend() {
  export ASSAY_HISTORY=${ASSAY_HISTORY:-build/history.db}
  "$1" history add reports/history build/reports/nightly.json.gz
  "$1" trend --out build/reports/trend.html --source .
}

package() {
  packages+=(file dpkg-dev)  # by which CPack finds what the program links
  setup
  choose_preset package
  build "$preset" assay
  (cd "build/$preset" && cpack -G DEB)
}

device_sanitizers() {
  setup
  build cuda assay assay_op_tests assay_planted_faults
  exec ci/device_sanitizers/run.sh build/cuda/bin build/reports/device-sanitizers
}

format() {
  command -v clang-format >/dev/null || fail "clang-format is missing: apt-get install clang-format" 2
  git ls-files '*.h' '*.cc' '*.cu' '*.cuh' | xargs clang-format --dry-run -Werror
}

case "${1:-}" in
  setup) setup "${readers[@]}" ;;
  parity) parity ;;
  test) test_here ;;
  bench) bench ;;
  precheck) precheck ;;
  hook) install_hook ;;
  nightly) nightly ;;
  package) package ;;
  llama) llama ;;
  asan)
    export ASAN_OPTIONS=detect_leaks=1:${ASAN_OPTIONS:-} UBSAN_OPTIONS=print_stacktrace=1:${UBSAN_OPTIONS:-}
    test_with asan
    ;;
  tsan) test_with tsan ;;
  clang)
    packages+=("${clang[@]}")
    test_with clang
    ;;
  fuzz) fuzz "${2:-}" ;;
  device-sanitizers) device_sanitizers ;;
  format) format ;;
  *) sed -n '2,24p' "$0" | sed 's/^# \{0,1\}//' >&2; exit 2 ;;
esac
