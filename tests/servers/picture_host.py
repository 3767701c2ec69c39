"""A shop's image server on loopback: what it answers is scripted, what it was asked is kept."""

from __future__ import annotations

import hashlib
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TypeVar

GIVE_UP_S = 30.0


@dataclass(frozen=True)
class Reply:
    """One answer; it is held back until `hold` is set."""

    body: bytes = b""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    hold: threading.Event | None = None


class PictureHost(ThreadingHTTPServer):
    """The server. A path without a script answers 404.

    Attributes:
        replies: answers by path, in order; the last one is given again and again.
        asked: paths with the headers (names in small letters) of every request.
        answers: how often which status was answered.
        under_way: requests that are held back now.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.replies: dict[str, list[Reply]] = {}
        self.asked: list[tuple[str, dict[str, str]]] = []
        self.answers: Counter[int] = Counter()
        self.under_way = 0
        self._lock = threading.Lock()

    def script(self, path: str, *replies: Reply) -> str:
        """Answer a path so; its URL."""
        self.replies[path] = list(replies)
        return f"{self.url}{path}"

    def keep(self, path: str, body: bytes, **headers: str) -> str:
        """Have a picture with an ETag, which is not sent to whoever has it; its URL."""
        etag = f'"{hashlib.sha256(body).hexdigest()[:16]}"'
        return self.script(path, Reply(body, headers={"ETag": etag, **headers}))

    def paths(self) -> list[str]:
        """The paths asked for, in order."""
        return [path for path, _ in self.asked]

    def reply_to(self, path: str, headers: dict[str, str]) -> Reply:
        """The next answer to a request."""
        with self._lock:
            self.asked.append((path, headers))
            script = self.replies.get(path, [Reply(status=404)])
            reply = script.pop(0) if len(script) > 1 else script[0]
            if _has(headers, reply):
                reply = Reply(status=304, headers=reply.headers, hold=reply.hold)
            self.answers[reply.status] += 1
            return reply

    @contextmanager
    def holding(self, reply: Reply) -> Iterator[None]:
        """Wait until the reply may go."""
        if reply.hold is not None:
            with self._lock:
                self.under_way += 1
            reply.hold.wait(GIVE_UP_S)
        try:
            yield
        finally:
            if reply.hold is not None:
                with self._lock:
                    self.under_way -= 1


def _has(headers: dict[str, str], reply: Reply) -> bool:
    """Whether a request is for another version only; an ETag counts before a time."""
    asked = {"if-none-match": "ETag", "if-modified-since": "Last-Modified"}
    for name, validator in asked.items():
        if name in headers and validator in reply.headers:
            return headers[name] == reply.headers[validator]
    return False


Host = TypeVar("Host", bound=ThreadingHTTPServer)


class _Handler(BaseHTTPRequestHandler):
    server: PictureHost
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        headers = {name.lower(): value for name, value in self.headers.items()}
        reply = self.server.reply_to(self.path, headers)
        with self.server.holding(reply), suppress(OSError):  # the client may have given up
            self.send_response(reply.status)
            for name, value in reply.headers.items():
                self.send_header(name, value)
            if reply.status != 304:
                self.send_header("Content-Length", str(len(reply.body)))
            self.end_headers()
            if reply.status != 304:
                self.wfile.write(reply.body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        pass


@contextmanager
def serving(server: Host) -> Iterator[Host]:
    """Have a host answer, in threads of this process."""
    with server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


@contextmanager
def picture_host() -> Iterator[PictureHost]:
    """A PictureHost in threads of this process."""
    with serving(PictureHost()) as server:
        yield server
