"""Another system with a fault: what suites and protocol must find. The negative control.

    assay run --system 'python3 suites/adapters/broken.py --fault swapped -- build/host/bin/assay serve'

Stands between the two and changes answers to `step`, from the --after'th of a process on; with --once FILE a single time
in all processes, the one that creates FILE.
"""
import argparse
import json
import os
import signal
import socket
import struct
import subprocess
import time

FLOAT = 4
SHARED = 4  # descriptor


class Answer:
    """What the system said to a step: the head, and rows of bytes, those before the softcap behind the others."""

    def __init__(self, head, data):
        self.head, self.count = head, len(head["rows"])
        self.width = len(data) // max(1, self.count * (2 if head.get("raw_bytes") else 1))
        self.rows = [data[i:i + self.width] for i in range(0, len(data), self.width or 1)]

    def order(self, sources):
        """Row i becomes row sources[i], in both halves."""
        self.rows = [self.rows[half + sources[i]] for half in range(0, len(self.rows), self.count)
                     for i in range(self.count)]

    def message(self):
        return json.dumps(self.head).encode() + b"\n" + b"".join(self.rows)


def another_row(answer, state):
    answer.order([(i + 1) % answer.count for i in range(answer.count)][:-1] + [answer.count - 1])


def swapped(answer, state):
    answer.order([1, 0, *range(2, answer.count)] if answer.count > 1 else [0] * answer.count)


def stale(answer, state):
    """What each session was told after the token before."""
    now = list(answer.rows[:answer.count])
    for i, row in enumerate(answer.head["rows"]):
        key = state["sessions"][row["feed"]]
        before = state.setdefault(key, now[i])
        state[key] = now[i]
        for half in range(0, len(answer.rows), answer.count):
            answer.rows[half + i] = before


def nan(answer, state):
    for half in range(0, len(answer.rows), answer.count or 1):
        answer.rows[half] = struct.pack("<f", float("nan")) + answer.rows[half][FLOAT:]


def wrong_count(answer, state):
    answer.head["rows"] = answer.head["rows"] + [{"feed": 0, "position": 0}]


def huge(answer, state):
    answer.head["bytes"] = 10 << 30


ROWS = {"another-row": another_row, "swapped": swapped, "stale": stale, "nan": nan, "wrong-count": wrong_count,
        "huge": huge}


def crash(ours, message):
    print("about to read what is not there", flush=True)
    os.kill(os.getpid(), signal.SIGSEGV)


def hang(ours, message):
    time.sleep(3600)


def late(ours, message):
    time.sleep(options.late)
    ours.sendall(message)


def garbage(ours, message):
    ours.sendall(b"\x00\xff}{ this is no answer\n" * 100)


def half(ours, message):
    ours.sendall(message[:len(message) // 2])
    os._exit(0)


def says_shared(ours, message, written=None):
    """Its rows are in the memory that is shared, or so it says: `written` makes what is there of rows and stamp."""
    line, rows = message.split(b"\n", 1)
    head = {**json.loads(line), "shared": True}
    if written:
        os.pwrite(SHARED, written(rows, head["id"]), 0)
    ours.sendall(json.dumps(head).encode() + b"\n")


def unwritten(ours, message):
    says_shared(ours, message)


def half_shared(ours, message):
    says_shared(ours, message, lambda rows, stamp: rows[:len(rows) // 2])


def stale_shared(ours, message):
    says_shared(ours, message, lambda rows, stamp: rows + struct.pack("<q", stamp - 1))


STREAM = {"crash": crash, "hang": hang, "late": late, "garbage": garbage, "half": half, "unwritten": unwritten,
          "half-shared": half_shared, "stale-shared": stale_shared}

parser = argparse.ArgumentParser()
parser.add_argument("--fault", choices=[*ROWS, *STREAM, "none"], default="none")
parser.add_argument("--declare", type=json.loads, default={}, help="JSON that goes over what it answers to load")
parser.add_argument("--clock", type=float, default=1, help="by this its own times are multiplied")
parser.add_argument("--after", type=int, default=3, help="steps of a process that are answered well first")
parser.add_argument("--once", metavar="FILE", help="break once: the process that creates it")
parser.add_argument("--late", type=float, default=3, help="seconds that a late answer takes")
parser.add_argument("command", nargs="+", help="of the system that is right")
options = parser.parse_args()


def start(command):
    ours, theirs = socket.socketpair()
    os.set_inheritable(theirs.fileno(), True)
    number = theirs.fileno()
    child = subprocess.Popen(["/bin/sh", "-c", f'exec "$@" 3<&{number}', "sh", *command], pass_fds=[number])
    theirs.close()
    return ours, child


def breaks():
    if options.once is None:
        return True
    try:
        os.close(os.open(options.once, os.O_CREAT | os.O_EXCL))
        return True
    except FileExistsError:
        return False


def main():
    judge = socket.socket(fileno=3)
    system, child = start(options.command)
    requests, answers = judge.makefile("rb"), system.makefile("rb")
    steps, state = 0, {}
    while line := requests.readline():
        try:
            request = dict(json.loads(line))
        except (ValueError, TypeError):
            request = {}  # the system says what it thinks of it
        if request.pop("shared_rows", None):  # rows pass through here
            line = json.dumps(request).encode() + b"\n"
        system.sendall(line)
        head = json.loads(answers.readline())
        data = answers.read(head.get("bytes", 0))
        if request.get("request") == "load" and "error" not in head:
            state, head = {}, {**head, **options.declare}
        if "seconds" in head:
            head["seconds"] = [second * options.clock for second in head["seconds"]]
        message = json.dumps(head).encode() + b"\n" + data
        if request.get("request") != "step" or "error" in head or not head["rows"]:
            judge.sendall(message)
            continue
        steps += 1
        if options.fault == "none" or steps <= options.after or not breaks():
            judge.sendall(message)
        elif options.fault in ROWS:
            answer = Answer(head, data)
            state["sessions"] = [feed["session"] for feed in request["feeds"]]
            ROWS[options.fault](answer, state)
            judge.sendall(answer.message())
        else:
            STREAM[options.fault](judge, message)
    system.shutdown(socket.SHUT_RDWR)
    child.wait()


main()
