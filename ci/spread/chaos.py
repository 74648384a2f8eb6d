#!/usr/bin/env python3
"""Runs of a tiny plan whose workers are killed and stopped at random, whose coordinator is killed, whose disk is full,
whose clock jumps (by libfaketime, package faketime; without it that is left out by name): every report is whole and
equal to the undisturbed one, or what is wrong is said by name.

Usage: chaos.py ASSAY_WITH_PLANTED_CASES [--runs N] [--seed S]; the last line counts; exit 1 when a run ended otherwise.
"""
import argparse
import collections
import glob
import json
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time

SELECTION = ["tiny-llama,hf-tiny/qwen3,hf-tiny/mistral", "--device", "host", "--dtype", "fp32", "--suite", "Decode,Prefill"]
TIMEOUT = 1.0  # seconds of a case: a worker that is stopped for longer is given up
JUMPS = ["-2d", "-1h", "-3", "+0", "+3", "+1h", "+40d"]  # of the clock: what it is off by from then on
NAMED = ("lost: ", "truncated: ", "empty: ", "edited: ", "File too large", "cannot write", "given up", "leases ")


def cases(path):
    """What was found, but for how long it took."""
    report = json.load(open(path))
    for case in report["cases"]:
        case.pop("duration_s", None)
        for judgement in case.get("judgements", []):
            judgement["bound"] = report["bounds"][judgement["bound"]]
    return report["verdict"], report["cases"], report["counts"], report["population"]


def workers(parent):
    """Processes that `parent` started. Any of its threads may have."""
    found = []
    for thread in os.listdir(f"/proc/{parent}/task"):
        try:
            found += [int(child) for child in open(f"/proc/{parent}/task/{thread}/children").read().split()]
        except OSError:
            pass
    return found


def set_clock(path, offset):
    """All processes of the run see it at once, whenever they look."""
    with open(path + ".new", "w") as file:
        file.write(offset + "\n")
    os.replace(path + ".new", path)


def disturb(draw, run, until, clock):
    """Kills, stops and continues workers, at times the coordinator, and sets the clock, until the run ends."""
    stopped, told = {}, collections.Counter()
    while run.poll() is None and time.monotonic() < until:
        time.sleep(draw.uniform(0.02, 0.25))
        for worker, wake in list(stopped.items()):
            if time.monotonic() > wake:
                hit(worker, signal.SIGCONT)
                del stopped[worker]
        try:
            alive = [worker for worker in workers(run.pid) if worker not in stopped]
        except OSError:
            break
        what = draw.choices(["kill", "stop", "term", "coordinator", "nothing"], [2, 2, 1, 0.5, 14])[0]
        if clock and draw.random() < 0.3:
            told["clock"] += 1
            set_clock(clock, draw.choice(JUMPS))
        if what == "coordinator":
            told[what] += 1
            run.kill()
        elif what != "nothing" and alive:
            worker = draw.choice(alive)
            told[what] += 1
            hit(worker, {"kill": signal.SIGKILL, "stop": signal.SIGSTOP, "term": signal.SIGTERM}[what])
            if what == "stop":
                stopped[worker] = time.monotonic() + draw.choice([0.1, 0.4, 5])
    for worker in stopped:
        hit(worker, signal.SIGCONT)
    return told


def hit(process, what):
    try:
        os.kill(process, what)
    except ProcessLookupError:
        pass


def small_disk():
    """Files of this process and its children end after a few records, as on a disk that is full."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (small_disk.bytes, small_disk.bytes))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("assay")
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    assay = os.path.realpath(arguments.assay)
    folder = tempfile.mkdtemp(prefix="assay-chaos-")
    environment = dict(os.environ, OMP_NUM_THREADS="1", OMP_WAIT_POLICY="passive", ASSAY_PLANTED="")
    quiet = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True, "env": environment}
    calm = os.path.join(folder, "calm.json")
    subprocess.run([assay, "run", *SELECTION, "--jobs", "2", "--report", calm], check=True, **quiet)
    expected = cases(calm)
    assert expected[0] == "PASS", expected[0]
    environment["ASSAY_PLANTED"] = "sleep=0.05 *"  # so that there is something to disturb
    libraries = glob.glob("/usr/lib/*/faketime/libfaketimeMT.so.1")
    if not libraries:
        print("clock jumps skipped: no libfaketime here: package faketime")
    results, told, wrong = collections.Counter(), collections.Counter(), 0
    for at in range(arguments.runs):
        draw = random.Random(arguments.seed * 1_000_003 + at)
        run_folder, report = os.path.join(folder, f"run{at}"), os.path.join(folder, f"report{at}.json")
        full = at % 7 == 3
        clock = os.path.join(folder, "clock") if libraries and at % 3 == 1 else None
        # The clock of the day jumps; the one that only counts and times that files have do not, as in a kernel.
        of_run = dict(quiet, env=dict(environment, LD_PRELOAD=libraries[0], FAKETIME_TIMESTAMP_FILE=clock,
                                      FAKETIME_NO_CACHE="1", NO_FAKE_STAT="1",
                                      FAKETIME_DONT_FAKE_MONOTONIC="1")) if clock else quiet
        if clock:
            set_clock(clock, draw.choice(JUMPS))
        small_disk.bytes = draw.choice([8192, 26000, 32000])
        command = [assay, "run", *SELECTION, "--jobs", "2", "--timeout", str(TIMEOUT), "--run", run_folder, "--report", report]
        said, code = "", None
        for _ in range(20):
            run = subprocess.Popen(command, preexec_fn=small_disk if full else None, **of_run)
            told += disturb(draw, run, time.monotonic() + 30, clock)
            said, _ = run.communicate(timeout=300)
            code = run.returncode
            if code != -signal.SIGKILL or not os.path.exists(os.path.join(run_folder, "plan.json")):
                break
            command = [assay, "run", "--jobs", "2", "--run", run_folder, "--resume", "--report", report]
        told["full disk"] += full
        if code == 0 and cases(report) == expected and \
                all(subprocess.run([assay, *check], **quiet).returncode == 0
                    for check in (["verify", report, run_folder], ["validate", "--require-pass", report])):
            results["whole"] += 1
        # A case that lost two workers is reported as that: it is named, and the run is no pass.
        elif code == 1 and all(case["reason"].startswith(("crash: ", "timeout: ")) for case in json.load(open(report))["cases"]
                               if case.get("status") in ("fail", "error")):
            results["a case lost two workers, named"] += 1
        elif code not in (0, None) and (any(name in said for name in NAMED) or code == -signal.SIGKILL):
            results["refused by name"] += 1
        else:
            wrong += 1
            print(f"run {at} of seed {arguments.seed}: ended with {code} and:\n{said}")
        if not wrong:
            shutil.rmtree(run_folder, ignore_errors=True)
    print(f"chaos: {arguments.runs} runs of seed {arguments.seed}:", ", ".join(f"{n} {what}" for what, n in results.items()),
          f"{wrong} otherwise; done to them:", ", ".join(f"{what} {n}" for what, n in sorted(told.items())))
    if wrong:
        print("kept:", folder)
        return 1
    shutil.rmtree(folder)
    return 0 if results["whole"] > 0 else 1


sys.exit(main())
