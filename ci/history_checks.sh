#!/usr/bin/env bash
# The history and the trend as people call them: what is added, found, dropped and refused, and how a check ends.
# Usage: ci/history_checks.sh ASSAY MAKE_HISTORY
set -u
. "$(dirname "$0")/expect.sh"
here=$(cd "$(dirname "$0")" && pwd)
make_history=$(realpath "$2")
export XDG_DATA_HOME=$work/data
unset ASSAY_HISTORY
now=2026-11-27T12:00:00Z
"$make_history" "$work/made" --cells 10 --nights 40 || bad 'no made-up history'

# Nothing yet, then the default place.
expect 2 'does not exist; assay history add REPORT... makes it' history list
expect 2 'does not exist' trend
mkdir "$work/empty"
expect 2 'no reports below it' history add "$work/empty" --db "$work/no.db"
[ -e "$work/no.db" ] && bad 'a database was made for nothing'
rm -rf "$work/data"
expect 0 '110 added, 0 known, 0 refused' history add "$work/made"
expect 0 '0 added, 110 known, 0 refused' history add "$work/made"
gzip -k "$work/made/00039-bench.json"
expect 0 '0 added, 1 known' history add "$work/made/00039-bench.json.gz"
[ -f "$work/data/assay/history.db" ] || bad 'the default is not in the folder of data'
export ASSAY_HISTORY=$work/own.db
expect 0 '1 added' history add "$work/made/00039-bench.json"
expect 0 '1 of 1 runs, 11 points in 11 cells' history list
digest=$(sha256sum <"$work/made/00039-bench.json" | cut -c1-64)
expect 0 "sha256 $digest" history show "${digest:0:8}"
expect 2 "run 'ffff': no run" history show ffff
unset ASSAY_HISTORY

# What is refused is named, and keeps nothing else from being added.
echo '{"schema":' >"$work/broken.json"
sed 's/"selected":10/"selected":11/' "$work/made/00001-bench.json" >"$work/lies.json"
sed 's/"version":"2\.[0-9]*\.[0-9]*"/"version":"3.0.0"/' "$work/made/00001-bench.json" >"$work/newer.json"
expect 2 'broken.json' history --db "$work/some.db" add "$work/broken.json"
expect 1 'lies.json: refused' history --db "$work/some.db" add "$work/lies.json"
expect 5 '3.0.0' history --db "$work/some.db" add "$work/newer.json"
expect 2 'broken.json: refused' history --db "$work/some.db" add "$work/made/00000-bench.json" "$work/broken.json"
expect 0 '1 of 1 runs' history --db "$work/some.db" list
sed 's/"finished":"[^"]*"/"finished":"2001-01-01T00:00:00.000Z"/' "$work/made/00002-bench.json" >"$work/backwards.json"
expect 1 'before it started' history --db "$work/some.db" add "$work/backwards.json"

# Damage: a newer version, a part of the file, no database.
cp "$work/own.db" "$work/newer.db"
sqlite3 "$work/newer.db" 'PRAGMA user_version = 99' 2>/dev/null &&
  expect 2 'is of version 99; this program knows versions up to 1' trend --db "$work/newer.db"
head -c 20000 "$work/own.db" >"$work/cut.db"
expect 2 'damaged or was cut short' trend --db "$work/cut.db"
expect 2 'is no database' history --db "$work/lies.json" list
expect 2 'history /proc/nowhere/history.db' history --db /proc/nowhere/history.db add "$work/made/00000-bench.json"

# The check.
cd "$work" || exit 1
expect 1 'REGRESSION' trend --now $now --check
expect 1 'assay gate --baseline' trend --now $now --check
expect 0 'PASS' trend --now $now --check --silent 1000 --cell '*n=1/*,*n=2/*'
expect 4 'silent' trend --now $now --check --cell '*n=1/*,*n=2/*'
expect 4 'has a run of the reference' trend --now $now --check --silent 1000 --cell '*n=2/*' --reference 0123456789
expect 3 'too short' trend --db "$work/own.db" --now $now --check
expect 2 "cell 'nothing'" trend --now $now --cell nothing
expect 2 'expected a time' trend --now yesterday
expect 0 '▁' trend --now $now --metric time
expect 0 '1 runs' trend --db "$work/own.db" --now $now --out "$work/page.html"
expect 2 'absent' trend --out "$work/absent/page.html"
expect 2 'git log' trend --now $now --out "$work/page.html" --source "$work"

# Exports.
"$assay" history export >"$work/points.csv" || bad 'no export'
[ "$(wc -l <"$work/points.csv")" -eq "$(("$("$assay" history export --format json | wc -l)" + 1))" ] ||
  bad 'CSV and JSON differ in length'
head -1 "$work/points.csv" | grep -q '^started,kind,commit,' || bad 'CSV has no header'

# Dropping.
expect 0 'none was dropped' history prune --before 2026-11-20 --dry-run
expect 0 'were dropped' history prune --before 2026-11-20
expect 0 '16 of 16 runs' history list
expect 2 'expected a time' history prune --before never

# Processes that are killed while they add lose nothing and double nothing.
files=("$work"/made/*-bench.json)
for round in $(seq "${ASSAY_KILLS:-10}"); do
  "$assay" history --db "$work/killed.db" add "${files[@]}" >/dev/null 2>&1 &
  pid=$!
  sleep "0.0$((round * 7 % 90 + 10))"
  kill -KILL $pid 2>/dev/null
  wait $pid 2>/dev/null
done
expect 0 ' 0 refused' history --db "$work/killed.db" add "${files[@]}"
expect 0 '40 of 40 runs, 440 points' history --db "$work/killed.db" list
exit $failed
