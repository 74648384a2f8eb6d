#!/usr/bin/env bash
# Shows that no kernel reads what another has not written yet, on a machine with a GPU: a build whose kernels each have
# a block that is late (cmake -DASSAY_BLOCK_DELAY_NS=4000) must find, in every judgement of the suites, the very numbers
# of a build without. Usage: ci/delayed_on_gpu.sh ASSAY DELAYED_ASSAY FOLDER; reports go to FOLDER. 1: some differ.
# ASSAY_MODELS (default: *-nano,tiny-*), ASSAY_DTYPES (default: bf16) and ASSAY_PARITY_ARGS (such as --batch-invariant)
# choose what runs.
set -eu
plain=$(realpath "$1") delayed=$(realpath "$2")
mkdir -p "$3"
for build in plain delayed; do
  "${!build}" run --model "${ASSAY_MODELS:-*-nano,tiny-*}" --device cuda --dtype "${ASSAY_DTYPES:-bf16}" --quiet ${ASSAY_PARITY_ARGS:-} \
    --report "$3/$build.json.gz" >"$3/$build.txt" 2>&1 || { tail -n 5 "$3/$build.txt"; exit 1; }
done
exec "$(dirname "$0")/same_numbers.py" "$3/plain.json.gz" "$3/delayed.json.gz"
