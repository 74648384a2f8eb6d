#!/usr/bin/env bash
# The trend page in a browser: headless Chromium, driven by Selenium, both from Debian. Installs nothing; where one is
# missing it says which and ends with 77, which CTest counts as skipped. Screenshots stay in the folder that is named.
# Usage: ci/trend_page_checks.sh ASSAY MAKE_HISTORY SCREENSHOTS
set -u
. "$(dirname "$0")/expect.sh"
here=$(cd "$(dirname "$0")" && pwd)
make_history=$(realpath "$2")
mkdir -p "$3"
screenshots=$(realpath "$3")
find_python selenium || missing 'python3 with selenium'
browser=$(command -v chromium) || missing 'chromium'
driver=$(command -v chromedriver) || missing 'chromedriver'

page() {  # page NAME OPTIONS-OF-TREND...
  local name=$1
  shift
  expect 0 "$name.html" trend --db "$work/$name.db" --out "$work/$name.html" "$@"
}
now=2026-11-27T12:00:00Z
"$make_history" "$work/made" || bad 'no made-up history'
"$make_history" "$work/hostile" --hostile --cells 12 --nights 12
expect 0 '1085 added' history --db "$work/made.db" add "$work/made"
expect 0 '26 added' history --db "$work/hostile.db" add "$work/hostile"
expect 0 'added' history --db "$work/kept.db" add "$here/../reports/history"
page made --now $now
page kept --now $now
# Subjects of commits come from a repository that anybody wrote to.
git init -q "$work/repository"
git -C "$work/repository" -c user.name=a -c user.email=a@b commit -q --allow-empty -m '</script><img src=x onerror="window.hostile=3">'
commit=$(git -C "$work/repository" rev-parse HEAD)
sed "s/\"commit\":\"[0-9a-f]\{40\}\"/\"commit\":\"$commit\"/g; s/\"id\":\"........-/\"id\":\"00000000-/" \
  "$work/hostile/00011-bench.json" >"$work/subject.json"
expect 0 '1 added' history --db "$work/hostile.db" add "$work/subject.json"
page hostile --now $now --source "$work/repository"
expect 0 '1 added' history --db "$work/none.db" add "$work/subject.json"
expect 0 '1 runs' history --db "$work/none.db" prune --before 2100-01-01
page none --now $now
[ "$failed" -eq 0 ] || exit 1
"$python" "$here/trend_page_checks.py" "$browser" "$driver" "$work" "$screenshots" \
  "$here/third_party/axe-core/axe.min.js.gz" || failed=1
exit $failed
