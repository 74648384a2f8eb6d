#!/usr/bin/env python3
"""Do two reports hold the same numbers, case by case? Every judgement of every case, or with --digests the digests of
rows of logits, which only runs in batch-invariant mode have. 1: some differ, a case is missing, or nothing was compared.
Usage: ci/same_numbers.py [--digests] REPORT REPORT"""
import gzip
import json
import sys


def numbers(path, what):
    with (gzip.open if path.endswith(".gz") else open)(path, "rt", encoding="utf-8") as file:
        cases = json.load(file)["cases"]
    # By its axes: the device's number is no matter.
    return {json.dumps([case["suite"], case["name"], {**case["axes"], "device": ""}]): case[what]
            for case in cases if what in case}


arguments = sys.argv[1:]
what = "judgements"
if arguments[:1] == ["--digests"]:
    what = "digest"
    del arguments[0]
if len(arguments) != 2:
    sys.exit(__doc__)
one, other = (numbers(path, what) for path in arguments)
differ = sorted(case for case in one.keys() | other.keys() if one.get(case) != other.get(case))
compared = sum(1 if what == "digest" else len(value) for value in one.values())
print(f"{len(one)} cases, {compared} {what if what == 'judgements' else 'digests'}: {len(differ)} cases differ",
      *differ[:10], sep="\n")
sys.exit(1 if differ or not compared else 0)
