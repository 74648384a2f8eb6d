#!/usr/bin/env bash
# Follows the recipe "How to add a suite" of suites/README.md to the letter, in a scratch copy of the tree: the file, the
# declaration and the row are taken from its text; then the suite must be listed and pass.
# Usage: ci/recipes.sh [FOLDER]      FOLDER: where to copy and build; default: build/recipes
set -euo pipefail
cd "$(dirname "$0")/.."
copy=${1:-build/recipes}
readme=suites/README.md
rm -rf "$copy/tree"
mkdir -p "$copy/tree"
git ls-files -z | tar --null -T - -cf - | tar -xf - -C "$copy/tree"

file=$(sed -n 's/.*In `\([^`]*\.cc\)`:$/\1/p' "$readme")
# The indented block behind that line.
awk -v start="In \`$file\`:" '
  index($0, start) { on = 1; next }
  on && /^    / { print substr($0, 5); some = 1; next }
  on && /^$/ { if (some) print ""; next }
  on && some { exit }' "$readme" >"$copy/tree/suites/$file"
# The row stands in backquotes and may be broken over two lines.
row=$(tr '\n' ' ' <"$readme" | sed -n 's/.*row `\({[^`]*}\)` to `suites.cc`.*/\1/p')
name=$(sed -n 's/^std::vector<Case> \(.*Cases\)(Workbench&, const Target& target) {$/\1/p' "$copy/tree/suites/$file")
[ -n "$row" ] && [ -n "$name" ] || { echo "recipes: $readme no longer holds a file, a row and a function" >&2; exit 1; }
sed -i "0,/^std::vector<Case> DecodeCases/s//std::vector<Case> $name(Workbench\& bench, const Target\& target);\n&/" \
  "$copy/tree/suites/parity/parity.h"
sed -i "0,/^    {\"Decode\"/s//    ${row//&/\\&},\n&/" "$copy/tree/suites/suites.cc"

cmake -S "$copy/tree" -B "$copy/build" -G Ninja -DCMAKE_BUILD_TYPE=Release -DASSAY_WERROR=ON -DASSAY_CUDA=OFF \
  ${CXX_LAUNCHER:+-DCMAKE_CXX_COMPILER_LAUNCHER=$CXX_LAUNCHER} >/dev/null
cmake --build "$copy/build" -j "${JOBS:-$(nproc)}" --target assay
suite=$(sed -n 's/^{"\([^"]*\)".*/\1/p' <<<"$row")
"$copy/build/bin/assay" list | grep -q "^$suite " || { echo "recipes: $suite is not listed" >&2; exit 1; }
"$copy/build/bin/assay" run tiny-llama --suite "$suite" --device host
