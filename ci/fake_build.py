#!/usr/bin/env python3
"""A build for the gate's checks: answers as `assay run` and `assay bench` do, from reports that a real one wrote.

Usage: fake_build.py MODE ASSAY FOLDER ARGUMENTS... ; FOLDER holds run.json and bench.json, or MODE is slow: then ASSAY
runs and its samples are made 10 % longer, the figures with them.
"""
import hashlib
import json
import math
import os
import random
import subprocess
import sys
import time
import uuid

mode, assay, folder, *arguments = sys.argv[1:]
if "--help" in arguments:
    sys.exit(subprocess.call([assay] + arguments) if mode == "slow" else 1)
command, path = arguments[0], arguments[arguments.index("--report") + 1]
counter = os.path.join(folder, mode + ".count")
calls = int(open(counter).read()) if os.path.exists(counter) else 0
if command == "bench":
    open(counter, "w").write(str(calls + 1))
random.seed(f"{mode} {calls}")  # a check has one outcome, not one a day


def digits(value, count):
    value = float(f"{value:.{count - 1}e}")
    return int(value) if value == math.trunc(value) else value


def slower(report, factor):
    for row in report["benchmarks"]:
        if "figures" not in row:
            continue
        for series in row["series"]:
            series["seconds"] = [digits(second * factor, 5) for second in series["seconds"]]
        seconds = sorted(second for series in row["series"] for second in series["seconds"])
        rank = lambda p: seconds[max(0, math.ceil(p * len(seconds)) - 1)]
        limits = next(known for known in report["limits"] if known["dtype"] == row["axes"]["dtype"])
        p50 = rank(0.5)
        row["figures"].update({
            "p50_s": digits(p50, 6), "p90_s": digits(rank(0.9), 6), "p99_s": digits(rank(0.99), 6),
            "fraction_of_floor": digits(row.get("floor_s", 0) / p50, 6),
            "fraction_of_copy": digits(row.get("bytes", 0) / p50 / limits["copy_bytes_per_s"], 6),
            "fraction_of_gemm": digits(row.get("flops", 0) / p50 / limits["gemm_flops_per_s"], 6),
            "rate": digits(row.get("work", 0) / p50, 6)})


if mode == "slow":
    code = subprocess.call([assay] + arguments)
    if command == "bench":
        report = json.load(open(path))
        slower(report, 1.1)
        json.dump(report, open(path, "w"))
    sys.exit(code)
if mode == "dies_at_once" or (mode == "dies_later" and calls == 3):
    os.kill(os.getpid(), 9)
if mode == "hangs" and command == "bench":
    time.sleep(600)
report = json.load(open(os.path.join(folder, command + ".json")))
report["run"]["id"] = str(uuid.uuid4())
code = 0
if command == "bench":
    noise = {"noisy": 0.2}.get(mode, 0.004)
    slower(report, {"slow10": 1.1}.get(mode, 1) * math.exp(random.gauss(0, noise)))
    if mode == "few_samples":
        for row in report["benchmarks"]:
            row["series"] = [{"seconds": row["series"][0]["seconds"][:5]}]
            row["figures"]["samples"] = 5
        slower(report, 1)
    if mode == "other_model":
        report["models"][0]["identity"] = "0123456789abcdef"
    if mode == "row_missing":
        report["benchmarks"].pop()
    if mode == "same_run":
        report["run"]["id"] = "00000000-0000-4000-8000-000000000000"
    if mode == "other_key":
        report["environment"]["host"]["cpu"] = "another"
    if mode == "other_host":  # consistently so
        facts = report["environment"]["comparability"]
        old, report["environment"]["host"]["cpu"] = report["environment"]["host"]["cpu"], "another"
        facts["fields"] = {name: "another" if value == old else value for name, value in facts["fields"].items()}
        text = "".join(f"{name}\0{value}\0" for name, value in facts["fields"].items())
        facts["key"] = hashlib.sha256(text.encode()).hexdigest()
    if mode == "rebuilt" and calls >= 2:
        report["environment"]["build"]["build_id"] = "feed"
    if mode == "lies":
        report["benchmarks"][0]["figures"]["p50_s"] /= 2
    if mode == "backwards":
        report["run"]["finished"] = "2001-01-01T00:00:00.000Z"
    if mode == "version":
        report["schema"]["version"] = "9.0.0"
if mode == "no_report" or (mode == "wrong_code" and command == "bench"):
    code = 7
if mode == "parity_fails" and command == "run":
    item = next(item for item in report["cases"] if "status" not in item)
    item.update({"status": "error", "reason": "planted", "replay": "assay run"})
    report["counts"]["pass"] -= 1
    report["counts"]["error"] += 1
    report["verdict"], code = "FAIL", 1
if mode == "part" and command == "bench":
    open(path, "w").write(json.dumps(report)[:2000])
elif mode != "no_report":
    json.dump(report, open(path, "w"))
sys.exit(code)
