#!/usr/bin/env python3
"""Which branches of an engine's bookkeeping random schedules take: ci/fuzz_coverage.py FOLDER [SECONDS [SEED]].

FOLDER is a build with ASSAY_COVERAGE (preset coverage). Runs `assay fuzz` there, reads GCC's counts and prints a line a
file; 1 when fewer than 90 % of the branches of trunk, sessions and rings were taken, or a schedule failed. Edges of
exceptions, which GCC draws behind each call, are not counted; engine.cc is shown beside, as half of it plans memory and
records steps on a device.
"""
import json
import os
import subprocess
import sys

COUNTED = ["runtime/trunk", "runtime/session", "runtime/batch", "runtime/kv_cache", "model/kv_plan"]
SHOWN = ["runtime/engine"]
LEAST = 0.9


def counts_of(folder, source):
    """Branches of a source file: how many there are, and the lines of those that were not taken."""
    room, name = source.split("/")
    data = os.path.join(folder, "engine", room, "CMakeFiles", f"assay_{room}.dir", f"{name}.cc.gcda")
    said = subprocess.run(["gcov", "--json-format", "--stdout", "--branch-probabilities", data], capture_output=True,
                          check=True).stdout
    taken, missed = 0, []
    for file in json.loads(said)["files"]:
        if not file["file"].endswith(f"engine/{source}.cc"):
            continue
        for line in file["lines"]:
            for branch in line["branches"]:
                if branch["throw"]:
                    continue
                if branch["count"] > 0:
                    taken += 1
                else:
                    missed.append(line["line_number"])
    return taken, missed


def main():
    folder = os.path.abspath(sys.argv[1])
    seconds, seed = (sys.argv[2:] + ["120", "1"][len(sys.argv) - 2:])[:2]
    for base, _, names in os.walk(folder):
        for name in names:
            if name.endswith(".gcda"):
                os.remove(os.path.join(base, name))
    fuzzed = subprocess.run([os.path.join(folder, "bin", "assay"), "fuzz", "--seconds", seconds, "--seed", seed])
    all_taken = all_branches = 0
    for source in COUNTED + SHOWN:
        taken, missed = counts_of(folder, source)
        branches = taken + len(missed)
        lines = ", ".join(str(line) for line in sorted(set(missed)))
        print(f"engine/{source + '.cc':<20} {taken:4} of {branches:4} branches, {100 * taken / branches:5.1f} %"
              + (f"; not all at lines {lines}" if missed and source in COUNTED else ""))
        if source in COUNTED:
            all_taken, all_branches = all_taken + taken, all_branches + branches
    share = all_taken / all_branches
    print(f"trunk, sessions and rings: {all_taken} of {all_branches} branches, {100 * share:.1f} %")
    sys.exit(fuzzed.returncode or (0 if share >= LEAST else 1))


if __name__ == "__main__":
    main()
