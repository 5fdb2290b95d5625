"""Receives what a phone wrote as a customer's program does, in each form in which it is forwarded, and checks it with the
validators that the Python SDK brings along. Started by `tests/sdk/run python-inbound`; see ../README.md."""

import json
import os
import queue
import sys
import threading
import warnings
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs

from messagebird.error import ValidationError
from messagebird.request_validator import RequestValidator
from messagebird.signed_request import SignedRequest

# The older validator says at each use that it is deprecated; older programs use it all the same.
warnings.simplefilter("ignore", DeprecationWarning)

KEY, TEXT = os.environ["ROOKERY_SIGNING_KEY"], os.environ["ROOKERY_TEXT"]
HOST, PORT = os.environ["ROOKERY_RECEIVES"].split(":")
came = queue.Queue()


class Handler(BaseHTTPRequestHandler):
    def receive(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()
        came.put((self.command, self.path, self.headers, body))

    do_GET = do_POST = receive

    def log_message(self, *_):
        pass


def check(method, target, headers, body):
    path, _, query = target.partition("?")
    params = parse_qs(query, keep_blank_values=True)
    if path == "/json":
        told = json.loads(body)
    else:
        told = {name: values[0] for name, values in (parse_qs(body.decode()) if path == "/post" else params).items()}
    assert method == ("GET" if path == "/get" else "POST"), method
    assert (told["recipient"], told["originator"], told["body"]) == ("31655500099", "31655500011", TEXT), told
    url, token = f"http://{headers['Host']}{target}", headers["MessageBird-Signature-JWT"]
    claims = RequestValidator(KEY).validate_signature(token, url, body)
    assert ("payload_hash" in claims) == (method == "POST"), claims
    for key, other in ((KEY[::-1], body), (KEY, body + b"x")):
        try:
            RequestValidator(key).validate_signature(token, url, other)
        except ValidationError:
            continue
        raise AssertionError("what was changed passes")
    stamp = headers["MessageBird-Request-Timestamp"]
    older = SignedRequest(headers["MessageBird-Signature"], stamp, body.decode(), params)
    assert older.verify(KEY) and older.is_recent(), "the older signature"
    print(f"ok {path[1:]}: {method}, value by value; valid by RequestValidator and SignedRequest", flush=True)
    return path


def main():
    server = ThreadingHTTPServer((HOST, int(PORT)), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    waiting = {"/get", "/post", "/json"}
    while waiting:
        try:
            waiting.discard(check(*came.get(timeout=60)))
        except queue.Empty:
            sys.exit(f"nothing came to {sorted(waiting)}")


main()
