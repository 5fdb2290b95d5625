"""Reads what strace wrote: system calls of many threads, each with where it begins and where it ends.

strace stops a thread at the entry of a call and at its return, and writes in the order of these stops. So if a line
tells the end of one call and a later line the beginning of another, the kernel had finished the first before it did
anything for the second. That order, not the clock, is what the checks go by.
"""

import dataclasses
import re

# The calls by which data can leave, reach a file, or be made durable. -xx: strings are hexadecimal, nothing to
# unescape; -s: none is cut; -y: which file a descriptor is; -T: how long a call took.
CALLS = (
    "write,writev,pwrite64,pwritev,pwritev2,sendto,sendmsg,sendmmsg,sendfile,splice,"
    "read,readv,recvfrom,recvmsg,fsync,fdatasync,sync_file_range,ftruncate,io_uring_setup"
)
STRACE = ["-f", "--seccomp-bpf", "-ttt", "-T", "-y", "-xx", "-s", "1000000", "-e", f"trace={CALLS}"]

_LINE = re.compile(r"(\d+) +(\d+\.\d+) (.*)")
_CALL = re.compile(r"(\w+)\((.*)", re.DOTALL)
_RESUMED = re.compile(r"<\.\.\. (\w+) resumed>(.*)", re.DOTALL)
_RETURNED = re.compile(r"(.*)\) +=\s(-?\d+|\?)(.*)", re.DOTALL)
_TOOK = re.compile(r"<(\d+\.\d+)>$")
_DESCRIPTOR = re.compile(r"(\d+)<([^>]*)>")
_STRING = re.compile(r'"((?:\\x[0-9a-f]{2})*)"(\.\.\.)?')


class Unreadable(Exception):
    """The trace is not what this understands; nothing can be concluded from it."""


@dataclasses.dataclass
class Moment:
    """A place in the trace, and the clock there (in seconds, for people only)."""

    order: int
    clock: float


@dataclasses.dataclass
class Call:
    """A system call. `file` is a path, or socket:[…]; `result` is None when it never returned."""

    name: str
    file: str
    arguments: str
    begin: Moment
    end: Moment | None = None
    result: int | None = None

    def data(self):
        """The bytes it moved, which may be fewer than it was given."""
        found = b"".join(self._strings())
        return found[: max(self.result or 0, 0)]

    def offset(self):
        """The last argument of pwrite64."""
        return int(self.arguments.rpartition(", ")[2])

    def _strings(self):
        for text, cut in _STRING.findall(self.arguments):
            if cut:
                raise Unreadable("the trace holds a string that was cut: strace needs a larger -s")
            yield _bytes(text)


def read(lines):
    """Yields ("begin", call) and ("end", call) in the order of the trace."""
    open_calls = {}
    for number, line in enumerate(lines):
        matched = _LINE.match(line)
        if not matched:
            raise Unreadable(f"line {number + 1} is not strace's: {line[:80]!r}")
        thread, clock, rest = matched[1], float(matched[2]), matched[3]
        if rest.startswith(("---", "+++")):
            continue
        if resumed := _RESUMED.match(rest):
            call = open_calls.pop(thread, None)
            if call is None or call.name != resumed[1]:
                raise Unreadable(f"line {number + 1} resumes a call that was not begun")
            call.arguments += _returned(call, resumed[2], number, clock)
            yield "end", call
            continue
        begun = _CALL.match(rest)
        if not begun:
            raise Unreadable(f"line {number + 1} is not a call: {rest[:80]!r}")
        name, rest = begun[1], begun[2]
        call = Call(name, _file(rest), "", Moment(2 * number, clock))
        if rest.endswith("<unfinished ...>"):
            call.arguments = rest.removesuffix("<unfinished ...>")
            open_calls[thread] = call
            yield "begin", call
            continue
        call.arguments = _returned(call, rest, number, clock)
        yield "begin", call
        yield "end", call


def _returned(call, rest, number, clock):
    """Notes the call's end; gives back the arguments before it."""
    matched = _RETURNED.match(rest)
    if not matched:
        raise Unreadable(f"line {number + 1} tells no result")
    took = _TOOK.search(matched[3])
    if call.begin.order == 2 * number and took:
        clock += float(took[1])
    call.end = Moment(2 * number + 1, clock)
    call.result = None if matched[2] == "?" else int(matched[2])
    return matched[1]


def _file(arguments):
    matched = _DESCRIPTOR.match(arguments)
    return _bytes(matched[2]).decode(errors="replace") if matched else ""


def _bytes(text):
    return bytes.fromhex(text.replace("\\x", ""))
