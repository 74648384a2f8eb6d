#!/usr/bin/env bash
# Checkpoints and recordings made after public bug reports of other engines: each command of the table ends with its
# exit code and says its text.
# Usage: ci/public_cases.sh PATH_TO_ASSAY
set -u
assay=$1
folder=$(cd "$(dirname "$0")/../suites/fixtures/public" && pwd)
failed=0 cases=0
while IFS=$'\t' read -r name command code text; do
  case $name in '#'* | '') continue ;; esac
  cases=$((cases + 1))
  read -ra arguments <<<"${command//DIR/$folder/$name}"
  said=$("$assay" "${arguments[@]}" 2>&1 </dev/null)
  found=$?
  if [ "$found" -ne "$code" ] || ! grep -qF -- "$text" <<<"$said"; then
    echo "$name: assay $command: expected exit $code and '$text', found exit $found and:"
    head -12 <<<"$said"
    failed=1
  fi
done <"$folder/table.tsv"
[ "$cases" -ge 20 ] || { echo "the table has only $cases cases" && failed=1; }
exit $failed
