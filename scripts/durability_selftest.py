"""Checks the checker: traces as strace writes them, good ones that must pass and planted violations that must not.

A checker that finds nothing wrong proves nothing unless it is known to find what is wrong.
"""

import struct

import durability_check
from durability_check import Violated, marker
from durability_trace import Unreadable

LOG = "/data/rookery.db-wal"
PAGE = 512


def run():
    """Raises Violated when a trace is judged wrongly; tells how many were judged."""
    cases = [case for cases in (sqlite_cases(), postgres_cases()) for case in cases]
    for engine, name, trace, expected in cases:
        got = judge(engine, trace)
        if got != expected:
            raise Violated(f"self-test: the trace “{name}” ({engine}) should be {expected} and is {got}")
    refused = sum(expected != "in order" for *_, expected in cases)
    return f"durability: self-test passed: {len(cases)} traces, {refused} of them with something planted, all judged right"


def judge(engine, trace):
    try:
        durability_check.check(trace.lines, engine)
    except Violated:
        return "a violation"
    except Unreadable:
        return "unreadable"
    return "in order"


class Trace:
    """Writes lines as strace does."""

    def __init__(self):
        self.lines = []
        self.clock = 1_700_000_000.0

    def line(self, thread, text):
        self.clock += 0.001
        self.lines.append(f"{thread} {self.clock:.6f} {text}\n")
        return self

    def call(self, thread, name, file, data=None, result=None, rest=""):
        result = len(data) if result is None and data is not None else result or 0
        body = "" if data is None else f', "{_hex(data)}", {len(data)}{rest}'
        return self.line(thread, f"{name}(7<{_hex(file.encode())}>{body}) = {result} <0.000100>")

    def begin(self, thread, name, file):
        return self.line(thread, f"{name}(7<{_hex(file.encode())}> <unfinished ...>")

    def end(self, thread, name, result="0"):
        return self.line(thread, f"<... {name} resumed>) = {result} <0.002000>")

    # --- SQLite ---

    def header(self):
        data = struct.pack(">IIIIIIII", 0x377F0682, 3007000, PAGE, 0, 1, 2, 0, 0)
        return self.call(1, "pwrite64", LOG, data, rest=", 0")

    def frame(self, number, text, commit=True, whole=True):
        """A page that holds the text, in one write or in two as SQLite does it."""
        head = struct.pack(">IIIIII", 2, 9 if commit else 0, 1, 2, 0, 0)
        page = text.encode().ljust(PAGE, b"\0")
        at = 32 + number * (24 + PAGE)
        if not whole:
            return self.call(1, "pwrite64", LOG, head + page, rest=f", {at}")
        self.call(1, "pwrite64", LOG, head, rest=f", {at}")
        return self.call(1, "pwrite64", LOG, page, rest=f", {at + 24}")

    def sync(self, file=LOG, result=None):
        return self.call(1, "fdatasync", file, result=result)

    # --- HTTP ---

    def answer(self, n, status="201 Created", socket=40, parts=1):
        body = f'{{"id":"x","firstName":"{marker(n)}"}}'
        data = f"HTTP/1.1 {status}\r\ncontent-length: {len(body)}\r\n\r\n{body}".encode()
        cut = len(data) if parts == 1 else len(data) - len(body)
        for part in filter(None, (data[:cut], data[cut:])):
            self.call(2, "sendto", f"socket:[{socket}]", part, rest=", MSG_NOSIGNAL, NULL, 0")
        return self

    # --- PostgreSQL ---

    def start_up(self):
        self.to_server(struct.pack(">II", 9, 196608) + b"\0")
        return self.from_server(message(b"R", struct.pack(">I", 0)) + message(b"Z", b"I"))

    def to_server(self, data):
        return self.call(1, "sendto", "socket:[50]", data, rest=", MSG_NOSIGNAL, NULL, 0")

    def from_server(self, data):
        return self.call(1, "recvfrom", "socket:[50]", data, rest=", 0, NULL, NULL")


def sqlite_cases():
    def case(name, trace, expected="a violation"):
        return ("sqlite", name, trace, expected)

    def good(n=1):
        return Trace().header().frame(0, marker(n)).sync()

    two_in_a_batch = Trace().header().frame(0, marker(1) + marker(2)).sync().answer(1).answer(2, socket=41)
    yield case("written, synced, answered", good().answer(1), "in order")
    yield case("a batch", two_in_a_batch, "in order")
    yield case("frame in one write", Trace().header().frame(0, marker(1), whole=False).sync().answer(1), "in order")
    yield case("two frames", Trace().header().frame(0, marker(1), False).frame(1, "").sync().answer(1), "in order")
    yield case("head and body apart", good().answer(1, parts=2), "in order")
    yield case("a log that begins again", good().header().frame(0, marker(2)).sync().answer(1).answer(2), "in order")
    yield case("a refusal needs no sync", good().answer(1).answer(2, "422 Unprocessable"), "in order")

    yield case("never synced", Trace().header().frame(0, marker(1)).answer(1))
    yield case("answered before the sync", Trace().header().frame(0, marker(1)).answer(1).sync())
    yield case("never written", Trace().header().frame(0, "").sync().answer(1))
    yield case("another file synced", Trace().header().frame(0, marker(1)).sync("/data/rookery.db").answer(1))
    yield case("another log synced", Trace().header().frame(0, marker(1)).sync("/data/other.db-wal").answer(1))
    yield case("sync failed", Trace().header().frame(0, marker(1)).sync(result="-1 EIO (error)").answer(1))
    yield case("no commit record", Trace().header().frame(0, marker(1), commit=False).sync().answer(1))
    late = Trace().header().frame(0, marker(1), commit=False).sync().frame(1, "").answer(1)
    yield case("commit record after the sync", late)
    running = Trace().header().frame(0, marker(1)).begin(1, "fdatasync", LOG).answer(1).end(1, "fdatasync")
    yield case("sync still running", running)
    begun = Trace().header().begin(3, "fdatasync", LOG).frame(0, marker(1)).end(3, "fdatasync").answer(1)
    yield case("sync begun before the write", begun)
    head_first = Trace().header().frame(0, marker(1))
    body = f'{{"firstName":"{marker(1)}"}}'
    head = f"HTTP/1.1 201 Created\r\ncontent-length: {len(body)}\r\n\r\n".encode()
    head_first.call(2, "sendto", "socket:[40]", head).sync().call(2, "sendto", "socket:[40]", body.encode())
    yield case("status line before the sync", head_first)
    given_up = Trace().header().frame(0, "", False).frame(1, marker(1), False).frame(0, "").sync().answer(1)
    yield case("a transaction that was given up", given_up)
    yield case("second of a batch too early", two_early())

    yield case("no header", Trace().frame(0, marker(1)).sync().answer(1), "unreadable")
    yield case("nothing answered", good(), "unreadable")
    cut = good().line(1, f'pwrite64(7<{_hex(LOG.encode())}>, "\\x00"..., 512, 32) = 512 <0.000010>')
    yield case("a string cut short", cut.answer(1), "unreadable")
    yield case("io_uring", good().line(1, "io_uring_setup(8, 0x7f) = 9 <0.000010>").answer(1), "unreadable")


def two_early():
    return Trace().header().frame(0, marker(1)).sync().frame(1, marker(1) + marker(2)).answer(1).answer(2).sync()


def postgres_cases():
    def case(name, trace, expected="a violation"):
        return ("postgres", name, trace, expected)

    begin, commit = message(b"Q", b"BEGIN\0"), message(b"Q", b"COMMIT\0")
    insert = message(b"B", b"\0\0" + marker(1).encode()) + message(b"E", b"\0\0\0\0\0") + message(b"S", b"")
    began = done(b"BEGIN", b"T")
    inserted = message(b"2", b"") + done(b"INSERT 0 1", b"T")
    committed = done(b"COMMIT", b"I")

    def written():
        return Trace().start_up().to_server(begin + insert).from_server(began + inserted)

    yield case("committed, answered", written().to_server(commit).from_server(committed).answer(1), "in order")
    everything = Trace().start_up().to_server(begin + insert + commit).from_server(began + inserted + committed)
    yield case("all in one flight", everything.answer(1), "in order")
    alone = Trace().start_up().to_server(insert).from_server(message(b"2", b"") + done(b"INSERT 0 1", b"I")).answer(1)
    yield case("a statement of its own", alone, "in order")
    in_parts = written().to_server(commit).from_server(committed[:7]).from_server(committed[7:]).answer(1)
    yield case("an answer in two parts", in_parts, "in order")
    undone = written().to_server(message(b"Q", b"ROLLBACK TO SAVEPOINT a\0")).from_server(done(b"ROLLBACK", b"T"))
    yield case("after a savepoint", undone.to_server(commit).from_server(committed).answer(1), "in order")
    asked = Trace().to_server(struct.pack(">II", 8, 80877103)).from_server(b"N").start_up()
    asked.to_server(begin + insert + commit).from_server(began + inserted + committed)
    yield case("TLS asked for and refused", asked.answer(1), "in order")

    yield case("never committed", written().answer(1))
    yield case("answered before COMMIT was sent", written().answer(1).to_server(commit).from_server(committed))
    yield case("answered before COMMIT was confirmed", written().to_server(commit).answer(1).from_server(committed))
    yield case("rolled back", written().to_server(commit).from_server(done(b"ROLLBACK", b"I")).answer(1))
    refused = message(b"E", b"SERROR\0\0") + message(b"Z", b"I")
    yield case("commit refused", written().to_server(commit).from_server(refused).answer(1))
    earlier = Trace().start_up().to_server(begin + commit + begin + insert + commit)
    yield case("an earlier commit's answer", earlier.from_server(began + committed).answer(1))


def message(kind, body):
    return kind + struct.pack(">I", 4 + len(body)) + body


def done(tag, status):
    return message(b"C", tag + b"\0") + message(b"Z", status)


def _hex(data):
    return "".join(f"\\x{byte:02x}" for byte in data)
