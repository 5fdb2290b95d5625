"""Receives callbacks as a customer's program does, and checks each with the validators that the Python SDK brings along."""

import threading
import time
import warnings
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlencode

from driver import Failed, required, same, true
from messagebird.error import ValidationError
from messagebird.request_validator import RequestValidator
from messagebird.signed_request import SignedRequest

# The older validator says at each use that it is deprecated; older programs use it all the same.
warnings.simplefilter("ignore", DeprecationWarning)

SIGNING_KEY = required("ROOKERY_SIGNING_KEY")

callbacks = []
lock = threading.Lock()


class Callback:
    """A request, and what was wrong with it."""

    def __init__(self, request):
        self.at = time.monotonic()
        self.target = request.path
        self.headers = request.headers
        self.body = request.rfile.read(int(request.headers.get("Content-Length", 0)))
        self.url = f"http://{request.headers['Host']}{request.path}"
        self.params = parse_qs(request.path.partition("?")[2], keep_blank_values=True, strict_parsing=True)
        self.claims = self.wrong = None

    def verify(self, key=SIGNING_KEY, url=None, body=None, token=None):
        token = token or self.headers["MessageBird-Signature-JWT"]
        return RequestValidator(key).validate_signature(token, url or self.url, body or self.body)

    def verify_legacy(self, key=SIGNING_KEY, **changes):
        params = {**self.params, **changes}
        stamp = self.headers["MessageBird-Request-Timestamp"]
        request = SignedRequest(self.headers["MessageBird-Signature"], stamp, self.body.decode(), params)
        return request.verify(key) and request.is_recent()

    def check(self):
        """What holds for every callback."""
        try:
            self.claims = self.verify()
            same(sorted(self.claims), ["exp", "iss", "jti", "nbf", "url_hash"], "claims")
            same(self.verify_legacy(), True, "the older signature")
            # What no validator looks at.
            same(self.body, b"", "body")
            same(self.target.partition("?")[2], urlencode(sorted(self.params.items()), True), "query")
        except (Failed, ValidationError) as error:
            self.wrong = error


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        callback = Callback(self)
        callback.check()
        with lock:
            first = all(one.target != callback.target for one in callbacks)
            callbacks.append(callback)
        # What the path asks for at the first attempt; all is well at the second.
        self.send_response(500 if first and self.path.startswith("/busy") else 200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


def listen():
    """Starts it on a free port; gives what URLs to it begin with."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return f"http://127.0.0.1:{server.server_port}"


def about(id, count):
    """The callbacks about a message, when there are this many."""
    until = time.monotonic() + 15
    while True:
        with lock:
            found = [one for one in callbacks if one.params["id"] == [id]]
        if len(found) >= count or time.monotonic() > until:
            break
        time.sleep(0.05)
    for one in found:
        if one.wrong:
            raise Failed(f"{one.url}: {one.wrong}")
    same(len(found), count, "callbacks")
    tokens = {one.claims["jti"] for one in found}
    same(len(tokens), count, "different tokens")
    return found


def check_refusals(callback):
    """Whatever is not as it was signed must be refused, by both validators."""
    head, claims, mac = callback.headers["MessageBird-Signature-JWT"].split(".")
    other_key = SIGNING_KEY[::-1]
    for what, changes in {
        "another value": {"url": callback.url.replace("status=", "status=x")},
        "another host": {"url": callback.url.replace("127.0.0.1", "localhost")},
        "a body": {"body": b"{}"},
        "another key": {"key": other_key},
        "another signature": {"token": f"{head}.{claims}.{mac[::-1]}"},
        "no signature": {"token": f"{head}.{claims}."},
    }.items():
        try:
            callback.verify(**changes)
        except ValidationError:
            continue
        raise Failed(f"{what} passes")
    for what, passes in {
        "another value": callback.verify_legacy(status="x"),
        "another key": callback.verify_legacy(key=other_key),
    }.items():
        true(not passes, f"{what} passes the older validator")
