#!/usr/bin/env bash
# Makes the trend pages that ci/trend_page_checks.sh opens: of a made-up history, of a hostile one, of the kept reports
# and of none. Usage: ci/trend_pages.sh ASSAY MAKE_HISTORY PAGES
set -u
. "$(dirname "$0")/expect.sh"
here=$(cd "$(dirname "$0")" && pwd)
make_history=$(realpath "$2")
mkdir -p "$3"
pages=$(realpath "$3")

page() {  # page NAME OPTIONS-OF-TREND...
  local name=$1
  shift
  expect 0 "$name.html" trend --db "$work/$name.db" --out "$pages/$name.html" "$@"
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
exit $failed
