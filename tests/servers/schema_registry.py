"""A Schema Registry on loopback: what Confluent's REST protocol has for registering and reading."""

from __future__ import annotations

import base64
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import orjson


@dataclass
class FakeRegistry:
    """Keeps schemas by id; `login` is needed if given, `fails` requests are answered by 503."""

    login: str | None = None
    fails: int = 0
    incompatible: frozenset[str] = frozenset()
    url: str = ""
    schemas: list[str] = field(default_factory=list)
    subjects: dict[str, int] = field(default_factory=dict)
    requests: int = 0

    def answer(self, method: str, path: str, body: dict[str, Any], login: str | None) -> Any:
        """Status and object."""
        self.requests += 1
        if self.fails:
            self.fails -= 1
            return 503, {"error_code": 50003, "message": "no leader"}
        if self.login is not None and login != self.login:
            return 401, {"error_code": 40101, "message": "Unauthorized"}
        match [method, *path.strip("/").split("/")]:
            case ["POST", "subjects", subject, "versions"]:
                return self._register(subject, body)
            case ["POST", "compatibility", "subjects", subject, "versions", "latest"]:
                return 200, {"is_compatible": subject not in self.incompatible}
            case ["GET", "schemas", "ids", number] if int(number) <= len(self.schemas):
                return 200, {"schemaType": "JSON", "schema": self.schemas[int(number) - 1]}
        return 404, {"error_code": 40403, "message": "Schema not found"}

    def _register(self, subject: str, body: dict[str, Any]) -> Any:
        if subject in self.incompatible:
            return 409, {"error_code": 409, "message": "PROPERTY_REMOVED: price"}
        if body.get("schemaType") != "JSON":
            return 422, {"error_code": 42201, "message": "Invalid schema"}
        if body["schema"] not in self.schemas:
            self.schemas.append(body["schema"])
        self.subjects[subject] = self.schemas.index(body["schema"]) + 1
        return 200, {"id": self.subjects[subject]}


@contextmanager
def running(registry: FakeRegistry) -> Iterator[FakeRegistry]:
    """Serve it; `url` says where."""

    class Handler(BaseHTTPRequestHandler):
        def respond(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            given = self.headers.get("Authorization", "").removeprefix("Basic ")
            login = base64.b64decode(given).decode() if given else None
            fields = orjson.loads(body) if body else {}
            status, found = registry.answer(self.command, self.path, fields, login)
            self.send_response(status)
            self.end_headers()
            self.wfile.write(orjson.dumps(found))

        do_GET = do_POST = respond  # noqa: N815 - names of the base class

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    registry.url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield registry
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
