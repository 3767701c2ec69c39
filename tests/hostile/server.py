"""A hostile web server on loopback: each path misbehaves in a way of its own."""

from __future__ import annotations

import gzip
import socket
import socketserver
import threading
import time
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from tests.hostile.case import Case, Expected, accepted, refused
from tests.hostile.pictures import ORANGE, flat
from tests.hostile.zeros import gzip_zeros, zlib_zeros

GOOD = flat("PNG")
GIVE_UP_S = 30.0
"""How long a slow path goes on; the client must have given up before."""
FINE = accepted((64, 48), ORANGE)
SLOW = refused("no picture within|ReadTimeout")


def answer(body: bytes = GOOD, *headers: str, status: str = "200 OK", length: int = -1) -> bytes:
    """An HTTP response; `length` overrides the Content-Length."""
    lines = [f"HTTP/1.1 {status}", *headers]
    lines.append(f"Content-Length: {length if length >= 0 else len(body)}")
    return "\r\n".join([*lines, "Connection: close", "", ""]).encode("latin-1") + body


def redirect(location: str, status: str = "302 Found") -> bytes:
    """A redirect."""
    return answer(b"", f"Location: {location}", status=status)


# The response of each path, and the expected outcome. HERE and PORT are replaced by the server's
# URL and the forbidden port.
ANSWERS: dict[str, tuple[bytes, Expected]] = {
    "good": (answer(), FINE),
    "declared-html": (answer(GOOD, "Content-Type: text/html"), FINE),
    "html-declared-png": (
        answer(b"<!doctype html>", "Content-Type: image/png"),
        refused("an HTML page"),
    ),
    "empty": (answer(b""), refused("is empty")),
    "204": (answer(b"", status="204 No Content"), refused("answered 204")),
    "206": (answer(GOOD[:50], status="206 Partial Content"), refused("answered 206")),
    "401": (answer(b"", status="401 Unauthorized"), refused("answered 401")),
    "404": (answer(GOOD, status="404 Not Found"), refused("answered 404")),
    "500": (answer(b"", status="500 Error"), refused("answered 500 .tried 2 times")),
    "999": (answer(b"", status="999 Request Denied"), refused("answered 999|Protocol")),
    "gzip": (answer(gzip.compress(GOOD), "Content-Encoding: gzip"), FINE),
    "deflate": (answer(zlib.compress(GOOD), "Content-Encoding: deflate"), FINE),
    "gzip-bomb": (answer(gzip_zeros(100), "Content-Encoding: gzip"), refused("larger")),
    "deflate-bomb": (answer(zlib_zeros(300), "Content-Encoding: deflate"), refused("larger than")),
    "gzip-of-gzip": (
        answer(gzip.compress(gzip_zeros(100)), "Content-Encoding: gzip, gzip"),
        refused("sent as"),
    ),
    "gzip-broken": (answer(b"\x1f\x8b" + GOOD, "Content-Encoding: gzip"), refused("damaged")),
    "gzip-cut": (answer(gzip.compress(GOOD)[:-30], "Content-Encoding: gzip"), refused()),
    "brotli": (answer(GOOD, "Content-Encoding: br"), refused("sent as 'br'")),
    "zstd": (answer(GOOD, "Content-Encoding: zstd"), refused("sent as 'zstd'")),
    "announces-1TB": (answer(GOOD, length=10**12), refused("larger than")),
    "announces-10^40": (answer(GOOD, length=10**40), refused("larger than|Protocol")),
    "announces-more": (answer(GOOD, length=len(GOOD) + 99), refused("RemoteProtocolError")),
    "announces-less": (answer(GOOD, length=len(GOOD) // 2), refused()),
    "announces-twice": (answer(GOOD, "Content-Length: 5"), refused("RemoteProtocolError")),
    "announces-nonsense": (answer(GOOD, "Content-Length: x"), refused("RemoteProtocolError")),
    "20MB-and-one": (answer(GOOD + bytes(20_000_001 - len(GOOD))), refused("larger than 20 MB")),
    "bad-chunks": (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
        refused("RemoteProtocolError"),
    ),
    "huge-chunk": (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\nabc",
        refused(),
    ),
    "no-http": (b"SSH-2.0-OpenSSH_9.6\r\n", refused("RemoteProtocolError")),
    "http-0.9": (GOOD, refused("RemoteProtocolError")),
    "nothing": (b"", refused("RemoteProtocolError|ReadError")),
    "half-a-head": (b"HTTP/1.1 200 OK\r\nContent-Le", refused("RemoteProtocolError")),
    "bad-header": (answer(GOOD, "A\0b: c"), refused("RemoteProtocolError")),
    "header-of-1MB": (answer(GOOD, "X: " + "x" * 1_000_000), refused("RemoteProtocolError")),
    "100000-headers": (answer(GOOD, *(["X: y"] * 100_000)), refused("RemoteProtocolError")),
    "cookies": (answer(GOOD, *(["Set-Cookie: a=b"] * 50)), FINE),
    "to-good": (redirect("/good"), FINE),
    "to-good-301": (redirect("good", "301 Moved"), FINE),
    "to-good-308": (redirect("HERE/good", "308 Permanent"), FINE),
    "to-nowhere": (redirect(""), refused("answered 302")),
    "to-itself": (redirect("/to-itself"), refused("more than 5 redirects")),
    "to-loopback": (redirect("http://127.0.0.2:PORT/"), refused("not a public address")),
    "to-localhost": (redirect("http://localhost:PORT/"), refused("not a public address")),
    "to-metadata": (redirect("http://169.254.169.254/latest"), refused("not a public address")),
    "to-metadata-307": (redirect("//169.254.169.254/", "307 T"), refused("not a public address")),
    "to-ipv6": (redirect("http://[::1]:PORT/"), refused("not a public address")),
    "to-mapped": (redirect("http://[::ffff:a9fe:a9fe]/"), refused("not a public address")),
    "to-decimal": (redirect("http://2130706434:PORT/"), refused("no proper host")),
    "to-octal": (redirect("http://0177.0.0.2:PORT/"), refused("redirects to no URL")),
    "to-name": (redirect("http://metadata.google.internal/"), refused("not a public address")),
    "to-port": (redirect("http://93.184.216.34:22/"), refused("port 22")),
    "to-password": (redirect("http://a:b@shop.example/"), refused("user name or password")),
    "to-file": (redirect("file:///etc/passwd"), refused("not an http")),
    "to-ftp": (redirect("ftp://127.0.0.1/"), refused("not an http")),
    "to-s3": (redirect("s3://private/a.png"), refused("not an http")),
    "to-data": (redirect("data:image/png;base64,AAAA"), refused("not an http")),
    "to-script": (redirect("javascript:alert(1)"), refused("not an http")),
    "to-nonsense": (redirect("http://[::1"), refused("redirects to no URL|not a URL")),
    "to-bytes": (redirect("http://\xff\xfe/"), refused("has no address")),
}


def _hang(connection: socket.socket) -> None:
    connection.settimeout(GIVE_UP_S)
    connection.recv(1)  # until the client gives up


def _hang_in_body(connection: socket.socket) -> None:
    connection.sendall(answer()[:-50])
    _hang(connection)


def _drip(begin: bytes, drop: bytes) -> Callable[[socket.socket], None]:
    """Sends `begin`, and then `drop` every tenth of a second."""

    def drip(connection: socket.socket) -> None:
        connection.sendall(begin)
        end = time.monotonic() + GIVE_UP_S
        while time.monotonic() < end:
            connection.sendall(drop)
            time.sleep(0.1)

    return drip


def _flood(begin: bytes, piece: bytes) -> Callable[[socket.socket], None]:
    """Sends `begin`, and then `piece` as often as the client takes it."""

    def flood(connection: socket.socket) -> None:
        connection.sendall(begin)
        end = time.monotonic() + GIVE_UP_S
        while time.monotonic() < end:
            connection.sendall(piece)

    return flood


def _reset(connection: socket.socket) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")


CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
ENDLESS = b"HTTP/1.1 200 OK\r\n\r\n"

# Paths that misbehave over time.
BEHAVIOURS: dict[str, tuple[Callable[[socket.socket], None], Expected]] = {
    "hang": (_hang, SLOW),
    "hang-in-body": (_hang_in_body, SLOW),
    "slow-head": (_drip(b"HTTP/1.1 200 OK\r\n", b"X: y\r\n"), SLOW),
    "slow-body": (_drip(answer(b"", length=10_000), b"x"), SLOW),
    "slow-chunks": (_drip(CHUNKED, b"1\r\nx\r\n"), SLOW),
    "100-continue": (_drip(b"", b"HTTP/1.1 100 Continue\r\n\r\n"), SLOW),
    "100-flood": (
        _flood(b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 100),
        refused("no picture within|ReadTimeout|ProtocolError"),
    ),
    "endless-head": (_flood(b"HTTP/1.1 200 OK\r\nX: ", b"x" * 65536), refused("ProtocolError")),
    "endless-body": (_flood(ENDLESS, b"x" * 65536), refused("larger than 20 MB")),
    "endless-chunks": (_flood(CHUNKED, b"10000\r\n" + b"x" * 65536 + b"\r\n"), refused("larger")),
    "endless-redirect": (
        _flood(b"HTTP/1.1 302 Found\r\nLocation: /good\r\n\r\n", b"x" * 65536),
        FINE,
    ),
    "reset": (_reset, refused("Error")),
}
# Paths whose first response is bad, and later ones good.
FAIL_ONCE = {
    "503-then-good": answer(b"", status="503 Busy"),
    "429-then-good": answer(b"", status="429 Slow Down"),
    "cut-then-good": answer(GOOD, length=len(GOOD) + 9),
    "nothing-then-good": b"",
}


class _Handler(socketserver.BaseRequestHandler):
    server: HostileServer

    def handle(self) -> None:
        with suppress(OSError):  # the client gave up, as it should
            self._handle(self.request)

    def _handle(self, connection: socket.socket) -> None:
        connection.settimeout(GIVE_UP_S)
        head = b""
        while b"\r\n\r\n" not in head:
            received = connection.recv(65536)
            if not received:
                return
            head += received
        path = head.split(b" ", 2)[1].decode().lstrip("/").partition("?")[0]
        self.server.requests[path] += 1
        if path in BEHAVIOURS:
            BEHAVIOURS[path][0](connection)
            return
        if path in FAIL_ONCE:
            again = self.server.requests[path] > 1
            connection.sendall(answer() if again else FAIL_ONCE[path])
            return
        response, _ = ANSWERS[path]
        for word, value in self.server.placeholders.items():
            response = response.replace(word, value)
        connection.sendall(response)


class HostileServer(socketserver.ThreadingTCPServer):
    """The server, and in `requests` how often each path was asked for."""

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, forbidden_port: int) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        self.requests: Counter[str] = Counter()
        self.placeholders = {b"HERE": self.url.encode(), b"PORT": str(forbidden_port).encode()}


@contextmanager
def hostile_server(forbidden_port: int) -> Iterator[HostileServer]:
    """A HostileServer in threads of this process; some paths redirect to `forbidden_port`."""
    with HostileServer(forbidden_port) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


def server_cases(url: str) -> Iterator[Case]:
    """One case for each path of the server at `url`."""
    for path, (_, expected) in ANSWERS.items():
        yield Case(f"server: {path}", f"{url}/{path}", expected, "loopback")
    for path, (_, expected) in BEHAVIOURS.items():
        yield Case(f"server: {path}", f"{url}/{path}", expected, "loopback")
    for path in FAIL_ONCE:
        yield Case(f"server: {path}", f"{url}/{path}", FINE, "loopback")
    elsewhere = url.replace("127.0.0.1", "rebound.test") + "/to-good"
    yield Case("rebinding between two hops", elsewhere, refused("not a public address"), "loopback")
    yield Case(
        "TLS to a plain port",
        url.replace("http", "https"),
        refused("ConnectTimeout|no picture within"),
        "loopback",
    )
