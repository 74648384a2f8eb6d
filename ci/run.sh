#!/usr/bin/env bash
# The jobs of CI, the same by hand: ci/run.sh setup|parity|test|asan|tsan|device-sanitizers|format
#   setup   install the Debian packages that are missing (as root), or print the command and stop with 2
#   parity  build the assay command, run the oracle suites on the embedded models on the best device, write the report
#   test    build everything, run all tests with CTest
#   asan    test under AddressSanitizer and UBSan; tsan: under ThreadSanitizer
#   device-sanitizers  on a GPU machine: op tests and nano suites under memcheck, synccheck, initcheck and racecheck
#   format  check formatting
# Environment: ASSAY_PRESET (default: cuda when nvcc is found, else host), ASSAY_REPORT (default: build/reports/parity.json),
# JOBS (default: the number of cores), ASSAY_PARITY_ARGS (arguments of `assay run` instead of the default selection).
set -euo pipefail
cd "$(dirname "$0")/.."

packages=(build-essential cmake ninja-build git libfmt-dev nlohmann-json3-dev libcli11-dev libvalijson-dev libssl-dev libgtest-dev
          libbenchmark-dev zlib1g-dev)
jobs=${JOBS:-$(nproc)}

fail() { echo "ci/run.sh: $1" >&2; exit "${2:-1}"; }

setup() {
  command -v dpkg-query >/dev/null || { echo "ci/run.sh: no dpkg here: make sure these are installed: ${packages[*]}" >&2; return 0; }
  local missing=() package
  for package in "${packages[@]}"; do
    dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null | grep -qx installed || missing+=("$package")
  done
  [ ${#missing[@]} -eq 0 ] && return 0
  if [ "$(id -u)" -ne 0 ]; then
    fail "missing packages; run: sudo apt-get update && sudo apt-get install -y --no-install-recommends ${missing[*]}" 2
  fi
  echo "installing: ${missing[*]}"
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}"
}

nvcc_found() { command -v nvcc >/dev/null || [ -x /usr/local/cuda/bin/nvcc ] || [ -n "${CUDACXX:-}" ]; }

default_preset() {
  if [ -n "${ASSAY_PRESET:-}" ]; then echo "$ASSAY_PRESET"; elif nvcc_found; then echo cuda; else echo host; fi
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
  if [ $# -gt 0 ]; then cmake --build --preset "$preset" -j "$jobs" --target "$@"; else cmake --build --preset "$preset" -j "$jobs"; fi
}

run_tests() {
  local preset=$1
  ctest --preset "$preset" -j "$jobs"
}

test_with() {
  setup
  build "$1"
  run_tests "$1"
}

parity() {
  setup
  local preset report arguments
  preset=$(default_preset)
  report=${ASSAY_REPORT:-build/reports/parity.json}
  build "$preset" assay
  mkdir -p "$(dirname "$report")"
  arguments=(--model '*-nano' --model 'hf-tiny/*' --model 'gguf-tiny/*' --dtype fp32)
  [ -n "${ASSAY_PARITY_ARGS:-}" ] && read -r -a arguments <<<"$ASSAY_PARITY_ARGS"
  exec "build/$preset/bin/assay" run "${arguments[@]}" --report "$report"
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
  setup) setup ;;
  parity) parity ;;
  test) test_with "$(default_preset)" ;;
  asan) ASAN_OPTIONS=detect_leaks=1:${ASAN_OPTIONS:-} UBSAN_OPTIONS=print_stacktrace=1:${UBSAN_OPTIONS:-} test_with asan ;;
  tsan) test_with tsan ;;
  device-sanitizers) device_sanitizers ;;
  format) format ;;
  *) sed -n '2,10p' "$0" | sed 's/^# \{0,1\}//' >&2; exit 2 ;;
esac
