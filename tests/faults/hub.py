"""As much of the Hugging Face Hub as a download asks for, on this machine, with faults to order.

A repository's name is the fault that it has: own/cut cuts its file, own/good has none.
"""

import hashlib
import http.server
import random
import socket
import struct
import threading
import time
from collections import Counter
from contextlib import contextmanager

REVISION = "0123456789abcdef0123456789abcdef01234567"
BODY = random.Random(0).randbytes(12 * 2**20)
DIGEST = hashlib.sha256(BODY).hexdigest()
XET = "/api/own/xet-read-token"
NOWHERE = "http://cdn.invalid"  # a name that no server may give an address (RFC 2606)
CUT = 11 * 2**20  # the client writes what it gets in pieces of 10 MiB


def other(body):
    """The same number of bytes, of which the last one is another."""
    return body[:-1] + bytes([body[-1] ^ 1])


# A status and an X-Error-Code to every request.
REFUSALS = {
    "unknown": (404, "RepoNotFound"),
    "no-file": (404, "EntryNotFound"),
    "no-revision": (404, "RevisionNotFound"),
    "gated": (403, "GatedRepo"),
    "token": (401, "GatedRepo"),
    "private": (401, "RepoNotFound"),
    "forbidden": (403, ""),
    "broken": (503, ""),
}


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_HEAD(self):
        self.answer()

    def do_GET(self):
        self.answer()

    def answer(self):
        fault = self.path.removeprefix("/datasets").split("/")[2]
        server, get = self.server, self.command == "GET"
        headers = {name.lower(): value for name, value in self.headers.items()}
        server.asked.append((self.command, self.path, headers))
        server.counts[self.command, fault] += 1
        count = server.counts[self.command, fault]
        # The client asks a second time at once for a HEAD that failed, and then begins to wait.
        early = count == 1 if get else count <= 2
        if fault in REFUSALS:
            status, code = REFUSALS[fault]
            self.send(status, b"", {"X-Error-Code": code} if code else {})
        elif fault == "hangs-up" and early:
            self.hang_up()
        elif fault == "limited-always" or (fault == "limited" and early):
            self.send(429, b"", {"Retry-After": "7"})
        elif (fault == "error" and early) or (fault == "error-always" and get):
            self.send(500, b"")
        elif fault in ("cdn", "cdn-unresolved") and not get:
            host = f"http://localhost:{server.server_port}" if fault == "cdn" else NOWHERE
            name = self.path.rsplit("/", 1)[1]
            where = f"{host}/cdn/elsewhere/{name}"
            body = server.files.get(name, BODY)
            digest = hashlib.sha256(body).hexdigest()
            size = {"X-Linked-Size": str(len(body)), "X-Linked-ETag": f'"{digest}"'}
            self.send(302, b"", {"Location": where, "X-Repo-Commit": REVISION, **size})
        elif fault == "cut-unresolved" and get and count == 2:
            self.send(302, b"", {"Location": f"{NOWHERE}/model.bin"})
        else:
            self.file(fault, get, get and early)

    def file(self, fault, get, first):
        body = self.server.files.get(self.path.rsplit("/", 1)[1], BODY)
        # The client's cache takes files with the same ETag for the same file.
        etag = f'"{hashlib.sha256(body).hexdigest()}"'
        if (fault == "wrong" and first) or (fault == "wrong-always" and get):
            body = other(body)
        elif (fault == "short" and first) or (fault == "short-always" and get):
            body = body[:-7]
        elif fault == "changed" and first:
            body = body + b"more"
        start = 0
        if (asked := self.headers.get("Range")) and fault != "cut-no-range":
            start = int(asked.removeprefix("bytes=").removesuffix("-"))
        stop = None
        if first and fault in ("cut", "cut-no-range", "cut-unresolved", "reset", "slow"):
            stop = CUT
        elif get and fault == "cut-always":
            stop = 0
        headers = {"ETag": etag, "X-Repo-Commit": REVISION}
        if fault == "xet":
            headers |= {"X-Xet-Hash": DIGEST, "X-Xet-Refresh-Route": f"{self.server.endpoint}{XET}"}
        if start:
            headers["Content-Range"] = f"bytes {start}-{len(body) - 1}/{len(body)}"
        self.send(206 if start else 200, body[start:], headers, stop)
        if stop is not None:
            if fault == "slow":
                time.sleep(12)  # longer than the client waits
            self.hang_up(reset=fault == "reset")

    def send(self, status, body, headers=None, stop=None):
        self.send_response(status)
        for name, value in {**(headers or {}), "Content-Length": len(body)}.items():
            self.send_header(name, str(value))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body[:stop])
            self.wfile.flush()

    def hang_up(self, *, reset=False):
        self.close_connection = True
        if reset:
            time.sleep(0.2)  # for what was sent to arrive, which a reset would discard
            linger = struct.pack("ii", 1, 0)
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            self.connection.close()
        else:
            self.connection.shutdown(socket.SHUT_RDWR)

    def log_message(self, *arguments):
        pass


class Server(http.server.ThreadingHTTPServer):
    def handle_error(self, request, client_address):
        pass  # a client that hung up


@contextmanager
def serving(files=()):
    """A server on a free port; `asked` lists the requests' method, path and headers.

    Args:
        files: file name -> content, where it is not BODY.
    """
    with Server(("127.0.0.1", 0), Handler) as server:
        server.asked, server.counts, server.files = [], Counter(), dict(files)
        server.endpoint = f"http://127.0.0.1:{server.server_port}"
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()
