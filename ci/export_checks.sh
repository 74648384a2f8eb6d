#!/usr/bin/env bash
# Exports of reports in the hands of readers that are not ours: junitparser, compare.py of Google Benchmark, Python's
# csv. And the command around them: what it refuses, what it leaves behind. Installs nothing; where a reader is missing
# it says which and ends with 77, which CTest counts as skipped. Usage: ci/export_checks.sh ASSAY
set -u
. "$(dirname "$0")/expect.sh"
here=$(cd "$(dirname "$0")" && pwd)
history=$here/../reports/history
compare=${ASSAY_COMPARE_PY:-/usr/share/benchmark/compare.py}
find_python 'junitparser, numpy, scipy' || missing 'python3 with junitparser, and with scipy, which compare.py needs,'
[ -f "$compare" ] || missing "$compare of libbenchmark-tools"

# Reports to export: one that passed, one that failed with a hostile name, one with speeds, one that nobody finished.
quick=(tiny-llama --suite Prefill --dtype fp32 --device host)
"$assay" run "${quick[@]}" --report "$work/pass.json" >/dev/null || bad 'the suite that is exported does not pass'
mkdir "$work/models"
cp -r "$here/../suites/fixtures/goldens/hf-tiny/llama3" "$work/models/a|<b>&=\`1,\"x"
sed -i 's/"rms_norm_eps": *[0-9.e-]*/"rms_norm_eps": 0.5/' "$work/models/"*/config.json
"$assay" run "$work/models/"* --suite Golden,Prefill --dtype fp32 --device host --report "$work/fail.json" \
  --junit "$work/fail.xml" --summary "$work/fail.md" --github >"$work/fail.txt" 2>&1
[ $? -eq 1 ] || bad 'a model with another norm does not fail its goldens'
"$assay" run "${quick[@]}" --timeout 0.001 --report "$work/unfinished.json" --junit "$work/unfinished.xml" \
  >/dev/null 2>&1
[ $? -eq 4 ] || bad 'a run that was ended is not incomplete'
bench=$(ls "$history"/*bench-gemma4-e4b.json.gz | head -1)

# What a run writes is what is exported from its report.
for format in junit:xml markdown:md; do
  "$assay" export "${format%%:*}" "$work/fail.json" --out "$work/again" 2>/dev/null || bad "export ${format%%:*}"
  cmp "$work/again" "$work/fail.${format##*:}" || bad "the ${format%%:*} of a run is not that of its report"
done
"$assay" export github "$work/fail.json" 2>/dev/null >"$work/annotations"
grep '^::' "$work/fail.txt" | cmp - "$work/annotations" || bad 'annotations of a run are not those of its report'
grep -q '^::error title=fail Golden\.' "$work/annotations" || bad 'a failed case has no annotation'

# JUnit: as many of everything as the report says; red unless the run passed.
"$assay" export junit "$work/pass.json" >"$work/pass.xml" 2>/dev/null
"$assay" export junit "$bench" >"$work/bench.xml" 2>/dev/null
"$python" - "$work" "$bench" <<'PY' || bad 'junitparser does not read the JUnit XML'
import gzip, json, sys
import junitparser
folder, bench = sys.argv[1:]
for name in ("pass", "fail", "bench", "unfinished"):
    text = gzip.open(bench).read() if name == "bench" else open(f"{folder}/{name}.json").read()
    report = json.loads(text)
    xml = junitparser.JUnitXml.fromfile(f"{folder}/{name}.xml")
    cases = [case for suite in xml for case in suite]
    own = sum(1 for case in cases if case.classname == "assay")
    expected = len(report["cases"]) + len(report.get("benchmarks", []))
    assert len(cases) - own == expected == xml.tests - own, (name, len(cases), expected)
    kinds = [type(result).__name__ for case in cases for result in case.result]
    counts = report["counts"]
    assert xml.failures == kinds.count("Failure") == counts.get("fail", 0), (name, kinds, counts)
    assert xml.errors == kinds.count("Error") and xml.skipped == kinds.count("Skipped"), (name, kinds)
    assert (report["verdict"] == "PASS") == (xml.failures + xml.errors == 0), (name, report["verdict"])
    ids = {f"{case.classname}.{case.name}" for case in cases}
    assert len(ids) == len(cases), name
names = [case.name for suite in junitparser.JUnitXml.fromfile(f"{folder}/fail.xml") for case in suite]
assert any('a|<b>&=`1,"x' in name for name in names), names
PY

# Google Benchmark: compare.py finds every row with a speed and no change of a report against itself.
"$assay" export google-benchmark "$bench" --out "$work/rows.json" 2>/dev/null || bad 'export google-benchmark'
"$python" "$compare" --no-color benchmarks "$work/rows.json" "$work/rows.json" >"$work/compared" 2>&1 ||
  bad 'compare.py does not read the Google Benchmark JSON'
rows=$("$python" -c 'import json, sys; print(len(json.load(open(sys.argv[1]))["benchmarks"]))' "$work/rows.json")
[ "$rows" -gt 0 ] && [ "$(grep -cE '^bench\..* \+0\.0000 ' "$work/compared")" -eq "$rows" ] ||
  bad "compare.py does not compare $rows rows: $(head -5 "$work/compared")"
"$python" - "$work/rows.json" "$work/slower.json" <<'PY'
import json, sys
report = json.load(open(sys.argv[1]))
for row in report["benchmarks"]:
    row["real_time"] *= 1.5
json.dump(report, open(sys.argv[2], "w"))
PY
"$python" "$compare" --no-color benchmarks "$work/rows.json" "$work/slower.json" | grep -cE '^bench\..* \+0\.5000 ' |
  grep -qx "$rows" || bad 'compare.py does not see rows that take half as long again'

# CSV: one width, a line for each case and row, and no text that a spreadsheet computes.
for name in pass fail; do "$assay" export csv "$work/$name.json" --out "$work/$name.csv" 2>/dev/null; done
"$assay" export csv "$bench" --out "$work/bench.csv" 2>/dev/null
"$python" - "$work" "$bench" <<'PY' || bad 'the CSV does not hold'
import csv, gzip, json, sys
folder, bench = sys.argv[1:]
for name in ("pass", "fail", "bench"):
    text = gzip.open(bench).read() if name == "bench" else open(f"{folder}/{name}.json").read()
    report = json.loads(text)
    lines = list(csv.reader(open(f"{folder}/{name}.csv", newline=""), strict=True))
    assert len(lines) == 1 + len(report["cases"]) + len(report.get("benchmarks", [])), (name, len(lines))
    assert {len(line) for line in lines} == {len(lines[0])} and len(set(lines[0])) == len(lines[0]), name
    for field in (field for line in lines for field in line if field[:1] in ("=", "+", "-", "@")):
        float(field)
PY

# Markdown: tables whose lines have as many cells as their header, and a size that GitHub shows.
"$assay" export markdown "$bench" --out "$work/bench.md" 2>/dev/null
"$python" - "$work" <<'PY' || bad 'the Markdown does not hold'
import re, sys
for name in ("fail", "bench"):
    text = open(f"{sys.argv[1]}/{name}.md").read()
    assert len(text.encode()) <= 1 << 20, name
    tables = re.findall(r"(?:^\|.*\n)+", text, re.M)
    assert len(tables) >= 2, name
    for table in tables:
        widths = {len(re.split(r"(?<!\\)\|", line)) for line in table.splitlines()}
        assert len(widths) == 1, (name, widths, table[:400])
        assert re.fullmatch(r"\|(---\|)+", table.splitlines()[1]), table[:400]
assert "<b>" not in re.sub(r"`[^`\n]*`", "", open(f"{sys.argv[1]}/fail.md").read())
PY

# The summaries of a step's commands are one file; any other file is replaced.
echo before >"$work/step.md"
for _ in 1 2; do
  GITHUB_STEP_SUMMARY=$work/step.md "$assay" run "${quick[@]}" --summary "$work/step.md" >/dev/null
done
[ "$(grep -c '^## assay run: PASS' "$work/step.md")" -eq 2 ] && grep -qx before "$work/step.md" ||
  bad 'the summary of a step is not appended to'
expect 0 'summary: ' run "${quick[@]}" --summary "$work/step.md"
[ "$(grep -c '^## assay' "$work/step.md")" -eq 1 ] || bad 'a summary is not replaced'
expect 0 'JUnit: ' bench tiny-llama --what decode --n 1 --ctx 8 --dtype fp32 --device host --seconds 0.02 \
  --junit "$work/timed.xml" --github
expect 0 '::notice' golden hf-tiny/llama3 --dtype fp32 --device host --github

# A run that is killed leaves no green file of an earlier one.
cp "$work/pass.xml" "$work/killed.xml"
"$assay" run '*-nano' --device host --report "$work/killed.json" --junit "$work/killed.xml" \
  --summary "$work/killed.md" >/dev/null 2>&1 &
pid=$!
for _ in $(seq 300); do [ -e "$work/killed.md" ] && break; sleep 0.1; done
kill -KILL $pid
wait $pid 2>/dev/null
grep -q '<error message="the run did not finish"' "$work/killed.xml" || bad 'a killed run leaves an earlier JUnit file'
grep -q '^## assay run: INCOMPLETE' "$work/killed.md" || bad 'a killed run leaves no summary that says so'

# What cannot be exported, or not be written.
expect 2 'annotations' export annotations "$work/pass.json"
expect 2 'cannot open' export csv "$work/absent.json"
expect 2 'absent' export csv "$work/pass.json" --out "$work/absent/file"
expect 2 'absent' run "${quick[@]}" --junit "$work/absent/file"
expect 2 'absent' run "${quick[@]}" --summary "$work/absent/file"
expect 2 'not a regular file' run "${quick[@]}" --junit "$work"
expect 2 'asked for twice' run "${quick[@]}" --report "$work/same" --junit "$work/./same"
expect 2 'does not replace its report' export csv "$work/pass.json" --out "$work/./pass.json"
expect 4 'no row has a speed' export google-benchmark "$work/pass.json"
sed 's/"listed":4/"listed":3/' "$work/pass.json" >"$work/spoilt.json"
expect 1 'listed' export junit "$work/spoilt.json" --out "$work/spoilt.xml"
[ -e "$work/spoilt.xml" ] && bad 'a report that contradicts itself was exported'
sed 's/"version":"2.5.0"/"version":"3.0.0"/' "$work/pass.json" >"$work/version.json"
expect 5 '3.0.0' export junit "$work/version.json"
"$assay" export junit - <"$work/pass.json" 2>/dev/null | cmp - "$work/pass.xml" || bad 'standard input is not exported'
"$assay" export csv "$work/pass.json" >/dev/full 2>/dev/null && bad 'an export that cannot be written is no success'
for format in junit google-benchmark markdown github csv; do
  "$assay" export $format "$bench" 2>&1 >/dev/null | grep -q "$format leaves out: " ||
    bad "$format does not say what it leaves out"
done
exit $failed
