#!/usr/bin/env bash
# Every preset configures where its compiler is: most of them only jobs of their own use. Usage: ci/preset_checks.sh
set -u
root=$(cd "$(dirname "$0")/.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failed=0 count=0
while read -r preset; do
  case $preset in
    clang | fuzz) command -v clang++ >/dev/null || continue ;;
    cuda) command -v nvcc >/dev/null || continue ;;
  esac
  count=$((count + 1))
  (cd "$root" && cmake --preset "$preset" -B "$work/$preset") >"$work/said" 2>&1 ||
    { echo "preset $preset: $(grep -A9 '^CMake Error' "$work/said" | head -20)" && failed=1; }
done < <(cd "$root" && cmake --list-presets=configure | sed -n 's/^  "\([a-z]*\)".*/\1/p')
[ "$count" -ge 4 ] || { echo "$count presets: expected four at least" && failed=1; }
exit $failed
