"""What the programs for the Python SDK have in common: clients with each kind of key, calls that are remembered, and how
answers are compared.

The SDK takes an HTTP client with any endpoint, so nothing is overridden: `Client(key, http_client=HttpClient(...))`.
"""

import os
import re
import sys
from datetime import datetime, timedelta, timezone

from messagebird import Client, ErrorException
from messagebird.client import USER_AGENT
from messagebird.http_client import HttpClient

NOBODY = "f" * 32  # has the form of an id and is nobody's
WRONG_KEY = (2, "Request not allowed (incorrect access_key)", "access_key")
NO_LINKS = {"first": None, "previous": None, "next": None, "last": None}


class Failed(Exception):
    pass


def required(name):
    if not os.environ.get(name):
        print(f"{name} is not set; start this with tests/sdk/run", file=sys.stderr)
        sys.exit(2)
    return os.environ[name]


ORIGIN = "http://" + required("ROOKERY_ADDR")


def client(key):
    return Client(key, http_client=HttpClient(ORIGIN, key, USER_AGENT))


LIVE = client(required("ROOKERY_KEY"))
TEST = client(required("ROOKERY_TEST_KEY"))
WRONG = client("WrongWrongWrongWrongWrong")

called = set()
step = "start"


def call(name, *args, **kwargs):
    """Makes one call of the SDK with the live key, or with `by`, and gives its result."""
    global step
    by = kwargs.pop("by", LIVE)
    called.add(name)
    key = {LIVE: "live", TEST: "test", WRONG: "wrong"}[by]
    step = f"{name}{args!r} {kwargs or ''} with the {key} key"
    return getattr(by, name)(*args, **kwargs)


def same(actual, expected, what="result"):
    """Equal in value and in JSON type, all the way down; the first difference is named."""
    if type(actual) is not type(expected):
        raise Failed(f"{what}: expected {expected!r} ({type(expected).__name__}), "
                     f"got {actual!r} ({type(actual).__name__})")
    if isinstance(expected, dict):
        if actual.keys() != expected.keys():
            raise Failed(f"{what}: expected the members {sorted(expected)}, got {sorted(actual)}")
        for name in expected:
            same(actual[name], expected[name], f"{what}.{name}")
    elif isinstance(expected, list):
        if len(actual) != len(expected):
            raise Failed(f"{what}: expected {len(expected)} elements, got {len(actual)}: {actual!r}")
        for i, (one, other) in enumerate(zip(actual, expected)):
            same(one, other, f"{what}[{i}]")
    elif actual != expected:
        raise Failed(f"{what}: expected {expected!r}, got {actual!r}")


def true(condition, what):
    if not condition:
        raise Failed(what)


def fails(expected, name, *args, **kwargs):
    """The call must fail with these errors in any order. For a description of None, any will do that begins with the
    parameter's name."""
    try:
        answer = call(name, *args, **kwargs)
    except ErrorException as error:
        def by_field(one):
            return str(one[2]), one[0]

        actual = sorted(((e.code, e.description, e.parameter) for e in error.errors), key=by_field)
        wanted = sorted(expected if isinstance(expected, list) else [expected], key=by_field)
        for i, one in enumerate(wanted):
            if one[1] is None:
                said = str(actual[i][1]) if i < len(actual) else ""
                wanted[i] = (one[0], said if said.startswith(f"{one[2]} ") else f"{one[2]} …", one[2])
        same([list(e) for e in actual], [list(e) for e in wanted], "errors")
        return
    raise Failed(f"expected the errors {expected}, but the call answered {plain(answer)!r}")


def ok(name, what):
    print(f"ok {name}: {what}", flush=True)


def plain(thing):
    """What the SDK presents, as plain values: the public attributes of its objects."""
    if type(thing).__module__.startswith("messagebird."):
        names = {n.lstrip("_") for n in vars(thing)} - {"itemType"}
        return {name: plain(getattr(thing, name)) for name in names}
    if isinstance(thing, list):
        return [plain(one) for one in thing]
    if isinstance(thing, dict):
        return {name: plain(value) for name, value in thing.items()}
    return thing


def recent(value, what):
    """Checks a time that the server chooses itself."""
    true(isinstance(value, datetime) and value.utcoffset() == timedelta(0), f"{what}: {value!r} is not in UTC")
    away = abs(datetime.now(timezone.utc) - value)
    true(away < timedelta(minutes=10), f"{what}: {value} is {away} away from this machine's clock")


def is_page(seen, path, offset, limit, total, items, filters=""):
    def at(start):
        return f"{ORIGIN}{path}?offset={start}&limit={limit}{filters}"

    links = dict(NO_LINKS)
    if total:
        links["first"] = at(0)
        links["previous"] = at(max(0, offset - limit)) if offset > 0 else None
        links["next"] = at(offset + limit) if offset + limit < total else None
        links["last"] = at((total - 1) // limit * limit)
    same(plain(seen), {
        "offset": offset,
        "limit": limit,
        "count": len(items),
        "totalCount": total,
        "links": links,
        "items": [plain(one) for one in items],
    }, "list")


def complete(*products):
    """A call that a newer SDK adds to these products must be tested too."""
    wanted = re.compile(rf"({'|'.join(products)})(_\w+)?")
    offered = {name for name in dir(Client) if wanted.fullmatch(name)}
    same(sorted(filter(wanted.fullmatch, called)), sorted(offered), "calls made")
    print(f"ok all {len(offered)} calls of the SDK about {', '.join(products)} were made")


def run(program):
    """Runs a program to its end; of a failure it tells in which call it was."""
    try:
        program()
    except Exception as error:
        print(f"failed: {step}\n{type(error).__name__}: {error}", file=sys.stderr)
        if not isinstance(error, Failed):
            raise
        sys.exit(1)
