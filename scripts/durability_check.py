"""Follows every marked write from the log to the answer.

A marker is a word that a client put into one write only. Three watchers see the same trace: one says when the write
with a marker was durable (SQLite's log, or PostgreSQL's confirmation), one when the answer with it left.
"""

import dataclasses
import re
import statistics
import struct

import durability_trace
from durability_trace import Moment, Unreadable

_MARKER = re.compile(rb"durab[0-9a-f]{10}x")


def marker(n):
    """The marker of write number n: one word, in lower case, which no index takes apart."""
    return f"durab{n:010x}x"


class Violated(Exception):
    """An answer left before what it says was durable."""


@dataclasses.dataclass
class Result:
    """What was checked and found in order."""

    checked: set  # the markers that were followed
    answers: int
    margins: list  # seconds from durable to the answer's first byte; an answer has one for each marker it carries
    syncs: int
    engine: str

    def summary(self):
        worst, middle = min(self.margins), statistics.median(self.margins)
        made = "commits in PostgreSQL" if self.engine == "postgres" else "syncs of the log"
        return (
            f"durability: {self.answers} answers to {len(self.checked)} writes checked, every one left after its data "
            f"was durable. {self.syncs} {made}, {len(self.checked) / max(self.syncs, 1):.1f} writes each. From durable "
            f"to the answer's first byte: {worst * 1e6:.0f} µs at the least, {middle * 1e6:.0f} µs in the middle."
        )


def check(lines, engine):
    """Reads a whole trace; raises Violated with every answer that left too early."""
    durable = Postgres() if engine == "postgres" else WriteAheadLog()
    answers = Answers()
    for what, call in durability_trace.read(lines):
        if call.name in ("io_uring_setup", "sendfile", "splice"):
            raise Unreadable(f"the server uses {call.name}: what it writes does not show in a trace")
        durable.see(what, call)
        if what == "end":
            answers.see(call)
    answers.finish()
    checked, margins, violations = set(), [], []
    for name, left in answers.left:
        when = durable.when.get(name)
        checked.add(name)
        if when is None:
            violations.append(f"{name}: answered, and never durable")
        elif when.order > left.order:
            late = (when.clock - left.clock) * 1e6
            violations.append(f"{name}: the answer left {late:.0f} µs before its data was durable")
        else:
            margins.append(left.clock - when.clock)
    if violations:
        shown = "\n  ".join(violations[:10])
        raise Violated(f"{len(violations)} writes were answered before they were durable:\n  {shown}")
    if not margins:
        raise Unreadable("the trace holds no answer to a marked write")
    return Result(checked, answers.successes, margins, durable.syncs, engine)


class WriteAheadLog:
    """SQLite's log: frames of one page each; a frame that names the database's size ends a transaction.

    A transaction is durable when a sync of the log that began after its last frame was written has succeeded.
    """

    HEADER, FRAME = 32, 24

    def __init__(self):
        self.when = {}  # marker: the end of the sync that made it durable
        self.syncs = 0
        self.logs = {}

    def see(self, what, call):
        if not call.file.endswith("-wal"):
            return
        log = self.logs.setdefault(call.file, Log())
        if call.name in ("fsync", "fdatasync"):
            if what == "begin":
                log.syncing[id(call)] = log.written
            elif call.result == 0:
                self.synced(log, log.syncing.pop(id(call)), call.end)
        elif what == "end" and call.name == "pwrite64" and (call.result or 0) > 0:
            self.wrote(log, call.offset(), call.data())
        elif what == "end" and call.name == "ftruncate":
            log.pending.clear()
        elif call.name not in ("pwrite64", "ftruncate", "read", "sync_file_range"):
            raise Unreadable(f"the log is used by {call.name}, which this does not understand")

    def synced(self, log, upto, moment):
        for markers in log.committed[log.durable : upto]:
            for name in markers:
                self.when.setdefault(name, moment)
        if upto > log.durable:
            log.durable = upto
            self.syncs += 1

    def wrote(self, log, offset, data):
        end = offset + len(data)
        log.image.extend(bytes(max(0, end - len(log.image))))
        log.image[offset:end] = data
        if offset < self.HEADER:
            log.pending.clear()
            return
        page = struct.unpack_from(">I", log.image, 8)[0]
        if not page:
            raise Unreadable("the log's header was written before the trace began")
        size = self.FRAME + page
        # Every frame whose last byte this write brought is complete.
        for frame in range((offset - self.HEADER) // size, (end - self.HEADER) // size):
            start = self.HEADER + frame * size
            log.pending[frame] = _markers(log.image[start + self.FRAME : start + size])
            if struct.unpack_from(">I", log.image, start + 4)[0]:
                # Frames that lie behind belong to a transaction that was given up.
                markers = [names for at, names in log.pending.items() if at <= frame]
                log.committed.append(set().union(*markers))
                log.pending.clear()
                log.written = len(log.committed)


class Log:
    """What is known about one log file."""

    def __init__(self):
        self.image = bytearray()
        self.pending = {}  # frame: its markers, until the transaction commits
        self.committed = []  # markers, by transaction
        self.written = 0  # transactions whose last frame is written
        self.durable = 0  # transactions that are synced
        self.syncing = {}  # a sync that has begun: transactions that were written then


class Postgres:
    """Connections to PostgreSQL: every Query and Sync that is sent is answered by one ReadyForQuery.

    A write is durable when the first ReadyForQuery at or after its own says that no transaction is open, and the
    group it ends held neither an error nor a ROLLBACK.
    """

    def __init__(self):
        self.when = {}
        self.syncs = 0
        self.connections = {}

    def see(self, what, call):
        if what != "end" or not call.file.startswith("socket:") or not call.result or call.result < 0:
            return
        connection = self.connections.setdefault(call.file, Connection())
        if call.name in ("sendto", "sendmsg", "write", "writev"):
            if connection.is_postgres is None:
                connection.is_postgres = _is_startup(call.data())
            if connection.is_postgres:
                connection.send(call.data())
        elif connection.is_postgres and call.name in ("recvfrom", "recvmsg", "read", "readv"):
            for names in connection.receive(call.data()):
                self.syncs += 1
                for name in names:
                    self.when.setdefault(name, call.end)


class Connection:
    """One connection to PostgreSQL, both directions."""

    def __init__(self):
        self.is_postgres = None
        self.sent, self.received = bytearray(), bytearray()
        self.started = False
        self.plain = 0  # bytes to come that are not messages (the answer to a request for TLS)
        self.groups_sent = 1  # the start-up is answered by a ReadyForQuery as well
        self.groups_answered = 0
        self.open = {}  # group: markers it carried
        self.failed = False

    def send(self, data):
        self.sent += data
        while True:
            if not self.started:
                if len(self.sent) < 8:
                    return
                length, code = struct.unpack_from(">II", self.sent)
                if len(self.sent) < length:
                    return
                # 80877103 and 80877104 ask for TLS and GSS, and are answered by a bare byte; the rest is the start.
                self.started = code not in (80877103, 80877104)
                self.plain += not self.started
                del self.sent[:length]
                continue
            message = _message(self.sent)
            if message is None:
                return
            kind, body = message
            names = _markers(body)
            if names:
                self.open.setdefault(self.groups_sent, set()).update(names)
            self.groups_sent += kind in b"QSF"

    def receive(self, data):
        """Yields the markers that became durable, a set for each end of a transaction."""
        self.received += data
        if self.plain:
            if self.received[:1] != b"N":
                raise Unreadable("the connection to PostgreSQL is encrypted")
            del self.received[: self.plain]
            self.plain = 0
        while (message := _message(self.received)) is not None:
            kind, body = message
            if kind in b"E" or (kind in b"C" and body.startswith(b"ROLLBACK\0")):
                self.failed = True
            elif kind in b"Z":
                group = self.groups_answered
                self.groups_answered += 1
                if body == b"I":
                    ended = [at for at in self.open if at <= group]
                    names = set().union(*(self.open.pop(at) for at in ended))
                    if names and not self.failed:
                        yield names
                # Inside a transaction a failure can be undone (a savepoint); what counts is how it ends.
                self.failed = False


class Answers:
    """The server's HTTP answers: when the first byte left of each that was a success and carries markers."""

    def __init__(self):
        self.left = []  # (marker, moment)
        self.successes = 0
        self.streams = {}

    def see(self, call):
        if call.name not in ("sendto", "sendmsg", "write", "writev") or not call.file.startswith("socket:"):
            return
        data = call.data()
        if call.file not in self.streams and not data.startswith(b"HTTP/1."):
            return
        stream = self.streams.setdefault(call.file, [])
        stream.append((data, call.begin))
        while self.answer(stream):
            pass

    def answer(self, stream):
        """Takes one whole answer from the stream's beginning, if there is one."""
        everything = b"".join(data for data, _ in stream)
        head, end, rest = everything.partition(b"\r\n\r\n")
        if not end:
            return False
        status = int(head[9:12])
        length = re.search(rb"\r\ncontent-length: *(\d+)", head, re.IGNORECASE)
        if not length and status >= 200 and status not in (204, 304):
            raise Unreadable(f"an answer without Content-Length: {head[:200]!r}")
        length = int(length[1]) if length and status not in (204, 304) else 0
        if len(rest) < length:
            return False
        first: Moment = stream[0][1]
        if 200 <= status < 300:
            names = _markers(rest[:length])
            self.left += [(name, first) for name in names]
            self.successes += bool(names)
        # What follows is the next answer; it left no earlier than the call that brought its first byte.
        used = len(head) + len(end) + length
        while stream and used >= len(stream[0][0]):
            used -= len(stream.pop(0)[0])
        if stream:
            stream[0] = (stream[0][0][used:], stream[0][1])
        return bool(stream)

    def finish(self):
        for stream in self.streams.values():
            if stream:
                raise Unreadable("the trace ends in the middle of an answer")


def _markers(data):
    return {name.decode() for name in _MARKER.findall(data)}


def _is_startup(data):
    """Version 3.0, or the request for TLS or GSS that may come before it."""
    return len(data) >= 8 and struct.unpack_from(">I", data, 4)[0] in (196608, 80877103, 80877104)


def _message(buffer):
    """Takes one whole message (a type byte, a length, a body) from the buffer's beginning, if there is one."""
    if len(buffer) < 5:
        return None
    length = struct.unpack_from(">I", buffer, 1)[0]
    if len(buffer) < 1 + length:
        return None
    kind, body = bytes(buffer[:1]), bytes(buffer[5 : 1 + length])
    del buffer[: 1 + length]
    return kind, body
