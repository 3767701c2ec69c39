"""A server of OpenAI's protocol on loopback: it prefers documents that have the query's words.

What it is asked is kept; what goes wrong is scripted.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.servers.picture_host import GIVE_UP_S, serving

FLOOR = -9.0


@dataclass(frozen=True)
class Answer:
    """What is sent in place of the usual answer. `cut` leaves out the end of the body."""

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    cut: bool = False
    hold: threading.Event | None = None


class ChatServer(ThreadingHTTPServer):
    """The server.

    Attributes:
        models: their names.
        script: answers to requests for chats that come before the usual ones; None is a usual one.
        asked: bodies of the requests for chats.
        keys: the Authorization headers of all requests.
        paths: of all requests.
    """

    daemon_threads = True

    def __init__(self, *models: str) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.url = f"http://127.0.0.1:{self.server_port}/v1"
        self.models = models
        self.script: list[Answer | None] = []
        self.asked: list[dict[str, Any]] = []
        self.keys: list[str | None] = []
        self.paths: list[str] = []
        self.lock = threading.Lock()


def completion(top: dict[str, float]) -> bytes:
    """A chat's answer whose first token has these log-probabilities."""
    best = max(top, key=lambda token: top[token])
    alternatives = [{"token": token, "logprob": value, "bytes": []} for token, value in top.items()]
    return json.dumps(
        {
            "object": "chat.completion",
            "choices": [
                {
                    "index": 0,
                    "message": {"role": "assistant", "content": best},
                    "logprobs": {
                        "content": [
                            {"token": best, "logprob": top[best], "top_logprobs": alternatives}
                        ]
                    },
                    "finish_reason": "length",
                }
            ],
        }
    ).encode()


def usual(chat: dict[str, Any]) -> bytes:
    """Documents with more of the query's words are more probable; NULL is between."""
    text = "".join(
        part["text"] for part in chat["messages"][1]["content"] if part["type"] == "text"
    )
    asked, *documents = re.split(r"Document \d\n", text)
    words = set(re.findall(r"[a-z]+", asked.lower())) - {"query", "text", "image"}
    shared = [len(words & set(re.findall(r"[a-z]+", one.lower()))) for one in documents]
    top = {str(at): (-1.0 / count if count else -6.0) for at, count in enumerate(shared)}
    return completion({**top, "NULL": -3.0, "The": FLOOR})


class _Handler(BaseHTTPRequestHandler):
    server: ChatServer
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._note()
        models = [{"id": name, "object": "model"} for name in self.server.models]
        self._send(Answer(body=json.dumps({"object": "list", "data": models}).encode()))

    def do_POST(self) -> None:
        self._note()
        chat = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with self.server.lock:
            self.server.asked.append(chat)
            scripted = self.server.script.pop(0) if self.server.script else None
        self._send(scripted or Answer(body=usual(chat)))

    def _note(self) -> None:
        with self.server.lock:
            self.server.keys.append(self.headers.get("Authorization"))
            self.server.paths.append(self.path)

    def _send(self, answer: Answer) -> None:
        if answer.hold is not None:
            answer.hold.wait(GIVE_UP_S)
        with suppress(OSError):  # the client may have given up
            self.send_response(answer.status)
            for name, value in answer.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(answer.body)))
            self.end_headers()
            self.wfile.write(answer.body[: len(answer.body) // 2] if answer.cut else answer.body)
            if answer.cut:
                self.close_connection = True

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        pass


@contextmanager
def chat_server(*models: str) -> Iterator[ChatServer]:
    """A ChatServer in threads of this process, by default with one model."""
    with serving(ChatServer(*(models or ("qwen3-vl",)))) as server:
        yield server
