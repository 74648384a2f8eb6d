"""Assay's protocol for systems under test, version 1: import this file, subclass System, call serve().

Standard library only. Rows of logits are anything with a buffer of float32: array.array('f'), numpy arrays, bytes.
README.md beside this file says what each request means.
"""
import array
import ctypes
import json
import os
import signal
import socket
import struct
import sys
import time

PROTOCOL = 1
DESCRIPTOR = 3
LONGEST_LINE = 1 << 20


class Refusal(Exception):
    """Answers a request with an error. Kinds: input, capacity, memory, device, unsupported, internal."""

    def __init__(self, kind, message):
        super().__init__(message)
        self.kind = kind


class System:
    """What a system does. Sessions are numbers that open() chooses; a method that refuses changes nothing."""

    name = version = commit = build = device = ""
    precisions = ["fp32"]
    # True, or the reason why not.
    capabilities = {"batch": True, "mixed_steps": True, "chunk": True, "logits": True, "decode": True,
                    "fork": "not written", "truncate": "not written", "raw_logits": "not written"}
    claims = {"batch_invariant": False, "repeatable": False}

    def load(self, model, precision, device, max_sessions, capacity, max_chunk, max_rows, **more):
        """Replaces what was loaded. Returns {"vocab": int} and what it declares of its arithmetic."""
        raise NotImplementedError

    def open(self):
        raise NotImplementedError

    def close(self, session):
        raise NotImplementedError

    def length(self, session):
        raise NotImplementedError

    def step(self, feeds):
        """Appends feed["tokens"] to feed["session"], all feeds in one batch. Returns the rows that feed["want"] (none,
        last, all) asks for, in order of feeds and positions: logits, or (logits, logits before the softcap)."""
        raise NotImplementedError

    def fork(self, session):
        raise Refusal("unsupported", "no fork")

    def truncate(self, session, length):
        raise Refusal("unsupported", "no truncate")

    def can_truncate(self, session, length):
        """Refuses what truncate would refuse."""

    def decode(self, sessions, first, steps, seconds=None):
        """Greedy text, the lowest token on ties: feeds `first`, then what each step prefers. Appends to `seconds`, where
        it is a list, what each step took."""
        texts = [[] for _ in sessions]
        tokens = list(first)
        clock = time.perf_counter()
        for _ in range(steps):
            rows = self.step([{"session": s, "tokens": [t], "want": "last"} for s, t in zip(sessions, tokens)])
            tokens = [best(row[0] if isinstance(row, tuple) else row) for row in rows]
            for text, token in zip(texts, tokens):
                text.append(token)
            before, clock = clock, time.perf_counter()
            if seconds is not None:
                seconds.append(clock - before)
        return texts


def best(row):
    """The lowest index of the largest value."""
    if hasattr(row, "argmax"):
        return int(row.argmax())
    values = memoryview(row).cast("B").cast("f") if not isinstance(row, array.array) else row
    return max(range(len(values)), key=values.__getitem__)


def by_length(feeds, together):
    """The rows of a step of an engine that feeds as many tokens to each session of a call: together(some feeds) runs them
    and returns their logits, [feed][token]."""
    rows = [None] * len(feeds)
    for count in sorted({len(feed["tokens"]) for feed in feeds}):
        group = [i for i, feed in enumerate(feeds) if len(feed["tokens"]) == count]
        for i, logits in zip(group, together([feeds[i] for i in group])):
            rows[i] = {"none": [], "last": logits[-1:], "all": logits}[feeds[i]["want"]]
    return [row for some in rows for row in some]


class Server:
    """Checks requests, so that a System need not, and keeps lengths to say where rows stand."""

    def __init__(self, system):
        self.system = system
        self.limits = None
        self.lengths = {}
        self.shared = None

    def hello(self, request):
        s = self.system
        self.shared = request.get("shared_rows")
        return {"protocol": PROTOCOL, "name": s.name, "version": s.version, "commit": s.commit, "build": s.build,
                "device": s.device, "precisions": s.precisions, "capabilities": s.capabilities, "claims": s.claims}

    def load(self, request):
        self.reset(request)
        sizes = ("max_sessions", "capacity", "max_chunk", "max_rows")
        for key in sizes:
            positive(request, key)
        self.limits = None
        answer = self.system.load(**{k: v for k, v in request.items() if k not in ("id", "request")})
        self.limits = {key: answer.get(key, request[key]) for key in sizes}
        self.vocab = answer["vocab"]
        return {**self.limits, **answer}

    def open(self, request):
        return self.opened(self.system.open, 0)

    def fork(self, request):
        session = self.session(request)
        return self.opened(lambda: self.system.fork(session), self.lengths[session])

    def opened(self, make, length):
        self.loaded()
        if len(self.lengths) >= self.limits["max_sessions"]:
            raise Refusal("capacity", f"{len(self.lengths)} sessions are open, the most there may be")
        session = make()
        self.lengths[session] = length
        return {"session": session}

    def close(self, request):
        session = self.session(request)
        self.system.close(session)
        del self.lengths[session]
        return {}

    def reset(self, request):
        for session in list(self.lengths):
            self.close({"session": session})
        return {}

    def length(self, request):
        return {"length": self.system.length(self.session(request))}

    def can_truncate(self, request):
        session, length = self.session(request), positive(request, "length", 0)
        if length > self.lengths[session]:
            raise Refusal("input", f"session {session} holds {self.lengths[session]} tokens, not {length}")
        if length < self.lengths[session]:
            self.system.can_truncate(session, length)
        return {}

    def truncate(self, request):
        self.can_truncate(request)
        session, length = request["session"], request["length"]
        if length < self.lengths[session]:
            self.system.truncate(session, length)
        self.lengths[session] = length
        return {}

    def step(self, request):
        self.loaded()
        feeds = request.get("feeds")
        if not isinstance(feeds, list) or not feeds or not all(isinstance(f, dict) for f in feeds):
            raise Refusal("input", "feeds: expected a list of objects that is not empty")
        places, rows_of_all = [], 0
        for number, feed in enumerate(feeds):
            session = self.session(feed)
            if any(session == f["session"] for f in feeds[:number]):
                raise Refusal("input", f"session {session} is fed twice")
            count, start = len(self.tokens(feed, "tokens")), self.lengths[session]
            if not 1 <= count <= self.limits["max_chunk"]:
                raise Refusal("input", f"feed {number} has {count} tokens, 1 to {self.limits['max_chunk']} are allowed")
            if start + count > self.limits["capacity"]:
                raise Refusal("capacity", f"session {session} would hold {start + count} tokens, "
                                          f"{self.limits['capacity']} is its capacity")
            rows_of_all += count
            want = feed.setdefault("want", "last")
            if want not in ("none", "last", "all"):
                raise Refusal("input", f"want {want!r}: expected none, last or all")
            skipped = {"none": count, "last": count - 1, "all": 0}[want]
            places += [{"feed": number, "position": start + i} for i in range(skipped, count)]
        if rows_of_all > self.limits["max_rows"]:
            raise Refusal("input", f"{rows_of_all} rows, {self.limits['max_rows']} are allowed")
        rows = self.system.step(feeds)
        for feed in feeds:
            self.lengths[feed["session"]] += len(feed["tokens"])
        return {"rows": places}, rows

    def decode(self, request, seconds=None):
        self.loaded()
        sessions, first = request.get("sessions"), self.tokens(request, "first")
        steps = positive(request, "steps")
        if not isinstance(sessions, list) or len(sessions) != len(first) or len(set(map(str, sessions))) != len(first):
            raise Refusal("input", "sessions and first: expected two lists of one length, no session twice")
        for session in sessions:
            if self.lengths[self.session({"session": session})] + steps > self.limits["capacity"]:
                raise Refusal("capacity", f"session {session} has no room for {steps} steps")
        texts = self.system.decode(sessions, first, steps, *([] if seconds is None else [seconds]))
        for session in sessions:
            self.lengths[session] += steps
        return {"tokens": texts}

    def time(self, request):
        what, seconds = request.get("what"), []
        if what == "decode":
            return {**self.decode(request, seconds), "seconds": seconds}
        if what != "step":
            raise Refusal("unsupported", f"time of {what!r}: expected decode or step")
        clock = time.perf_counter()
        answer, rows = self.step(request)
        return {**answer, "seconds": [time.perf_counter() - clock]}, rows

    def loaded(self):
        if self.limits is None:
            raise Refusal("input", "nothing is loaded")

    def session(self, request):
        self.loaded()
        session = request.get("session")
        if isinstance(session, (list, dict)) or session not in self.lengths:
            raise Refusal("input", f"session {session!r} is not open")
        return session

    def tokens(self, request, key):
        tokens = request.get(key)
        if not isinstance(tokens, list) or not all(type(t) is int and 0 <= t < self.vocab for t in tokens):
            raise Refusal("input", f"{key}: expected a list of tokens from 0 below {self.vocab}")
        return tokens


def positive(request, key, least=1):
    value = request.get(key)
    if type(value) is not int or value < least or value > 1 << 40:
        raise Refusal("input", f"{key} {value!r}: expected a whole number from {least} on")
    return value


REQUESTS = ("hello", "load", "open", "close", "reset", "fork", "truncate", "can_truncate", "length", "step", "decode",
            "time")


def handle(server, request):
    """The answer to a request, and rows behind it."""
    try:
        if not isinstance(request, dict):
            raise Refusal("input", "expected a line that is a JSON object")
        name = request.get("request")
        if name not in REQUESTS:
            raise Refusal("unsupported", f"request {name!r} is not known")
        answer = getattr(server, name)(request)
        return answer if isinstance(answer, tuple) else (answer, [])
    except Refusal as refusal:
        return {"error": {"kind": refusal.kind, "message": str(refusal)}}, []
    except MemoryError as error:
        return {"error": {"kind": "memory", "message": str(error) or "out of memory"}}, []
    except Exception as error:  # noqa: BLE001: the other side decides what it means
        import traceback
        traceback.print_exc()
        return {"error": {"kind": "internal", "message": f"{type(error).__name__}: {error}"}}, []


def payload(answer, rows):
    """Adds bytes to the answer; the parts that follow it."""
    pairs = [row if isinstance(row, tuple) else (row, None) for row in rows]
    capped = [memoryview(row).cast("B") for row, _ in pairs]
    raw = [memoryview(row).cast("B") for _, row in pairs if row is not None]
    if capped:
        answer["bytes"] = sum(map(len, capped)) + sum(map(len, raw))
    if raw:
        answer["raw_bytes"] = sum(map(len, raw))
    return capped + raw


def share(descriptor, parts, stamp):
    """Writes the parts into the memory that is shared, and the id of the request behind them."""
    at = 0
    for part in [*parts, struct.pack("<q", stamp)]:
        part = memoryview(part).cast("B")
        while part:
            written = os.pwrite(descriptor, part, at)
            at, part = at + written, part[written:]


class Stream:
    """The socket at descriptor 3."""

    def __init__(self):
        self.socket = socket.socket(fileno=DESCRIPTOR)
        self.socket.setblocking(True)
        self.file = self.socket.makefile("rb")

    def read(self):
        """A request; None at the end. What is no JSON is returned as text."""
        line = self.file.readline(LONGEST_LINE + 2)
        if not line:
            return None
        if not line.endswith(b"\n"):
            sys.exit(f"a line of more than {LONGEST_LINE} bytes")
        try:
            return json.loads(line)
        except ValueError:
            return line.decode(errors="replace")

    def write(self, answer, parts):
        self.socket.sendall(json.dumps(answer, allow_nan=False).encode() + b"\n")
        for part in parts:
            self.socket.sendall(part)


def serve(system):
    """Answers requests until the other side closes the stream."""
    try:  # ends with whoever started it
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)
    except (OSError, AttributeError):
        pass
    try:
        stream = Stream()
    except OSError:
        sys.exit(f"descriptor {DESCRIPTOR} is no socket: start it with assay run --system '...'")
    server = Server(system)
    while (request := stream.read()) is not None:
        answer, rows = handle(server, request)
        parts = payload(answer, rows)
        if parts and server.shared is not None:
            try:
                share(server.shared, parts, request["id"])
                answer["shared"] = True
            except OSError as error:
                answer = {"error": {"kind": "memory", "message": f"shared rows: {error}"}}
            parts = []
        stream.write({"id": request.get("id") if isinstance(request, dict) else None, **answer}, parts)
    os._exit(0)  # libraries may have threads that wait
