"""A model hub on loopback, as huggingface_hub speaks with one, and the file server behind it.

Repositories are in memory. Weights are served as the real one serves large files: a redirect to
another host, which must see no token and answers ranges. What goes wrong is scripted.
"""

from __future__ import annotations

import hashlib
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

import orjson

from tests.servers.picture_host import serving

LARGE = (".safetensors", ".bin", ".model")
_API = re.compile(r"/api/models/([^/]+/[^/]+)/revision/(.+)")
_FILE = re.compile(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)")


@dataclass
class Repository:
    """A repository with one commit on the branch main.

    Attributes:
        files: by name.
        licence: as its card names it.
        gated: whether only tokens in `ModelHub.granted` may read its files.
        commit: of main.
        older: earlier commits with their files.
        listed: names that are listed though there is no such file.
    """

    files: dict[str, bytes]
    licence: str = "apache-2.0"
    gated: bool = False
    commit: str = "a" * 40
    older: dict[str, dict[str, bytes]] = field(default_factory=dict)
    listed: tuple[str, ...] = ()

    def at(self, revision: str) -> tuple[str, dict[str, bytes]] | None:
        """The commit and files of a revision."""
        if revision in {"main", self.commit}:
            return self.commit, self.files
        return (revision, self.older[revision]) if revision in self.older else None

    def push(self, commit: str, files: dict[str, bytes]) -> None:
        """Have a newer commit on main."""
        self.older[self.commit] = self.files
        self.commit, self.files = commit, files


@dataclass(frozen=True)
class Asked:
    """One request."""

    method: str
    host: str
    path: str
    headers: dict[str, str]


class _Host(ThreadingHTTPServer):
    """A server whose clients may go when they like."""

    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of a client that went in the middle of an answer."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)


class ModelHub(_Host):
    """The hub; `files_host` is the server behind it.

    Attributes:
        repositories: by OWNER/NAME.
        known: tokens of accounts.
        granted: tokens that may read gated repositories.
        cuts: after how many bytes the next answers with a file's content end, by its name.
        swaps: other content that is served in place of a file's own, by its name.
        status: answer everything with this status.
        asked: every request, in order.
    """

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _HubHandler)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.files_host = _FilesHost(self)
        self.clear()

    def clear(self) -> None:
        """Make it a new hub, without repositories."""
        self.repositories: dict[str, Repository] = {}
        self.known: set[str] = set()
        self.granted: set[str] = set()
        self.cuts: dict[str, list[int]] = {}
        self.swaps: dict[str, bytes] = {}
        self.status = 0
        self.asked: list[Asked] = []

    def gets_of(self, name: str) -> list[Asked]:
        """The requests for a file's content."""
        return [one for one in self.asked if one.method == "GET" and one.path.endswith(f"/{name}")]


class _FilesHost(_Host):
    def __init__(self, hub: ModelHub) -> None:
        super().__init__(("127.0.0.1", 0), _FilesHandler)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.hub = hub
        self.content: dict[str, bytes] = {}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # or each answer waits 40 ms for an acknowledgement

    def take_note(self, hub: ModelHub, host: str) -> None:
        """Keep the request."""
        headers = {name.lower(): value for name, value in self.headers.items()}
        hub.asked.append(Asked(self.command, host, unquote(urlsplit(self.path).path), headers))

    def answer(self, status: int, body: bytes = b"", **headers: str) -> None:
        """A whole answer."""
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        if "Content_Length" not in headers:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def answer_file(self, hub: ModelHub, name: str, body: bytes, **headers: str) -> None:
        """A file's content or a range of it, unless the script has it end early."""
        body = hub.swaps.get(name, body)
        start = int(re.findall(r"bytes=(\d+)-", self.headers.get("Range", "bytes=0-"))[0])
        part = body[start:]
        self.send_response(206 if start else 200)
        for key, value in headers.items():
            self.send_header(key.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(part)))
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
        self.end_headers()
        cuts = hub.cuts.get(name)
        if self.command == "HEAD":
            return
        if cuts:
            self.wfile.write(part[: cuts.pop(0)])
            self.close_connection = True
        else:
            self.wfile.write(part)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        pass


class _HubHandler(_Handler):
    server: ModelHub

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        hub, path = self.server, unquote(urlsplit(self.path).path)
        self.take_note(hub, hub.url)
        token = (self.headers.get("Authorization") or "").removeprefix("Bearer ")
        found = _API.fullmatch(path) or _FILE.fullmatch(path)
        repository = hub.repositories.get(found[1]) if found else None
        if hub.status:
            self.answer(hub.status)
        elif token and token not in hub.known:
            self.answer(401, X_Error_Message="Invalid credentials in Authorization header")
        elif found is None or repository is None:
            self.answer(404 if token else 401, X_Error_Code="RepoNotFound")
        elif (at := repository.at(found[2])) is None:
            self.answer(404, X_Error_Code="RevisionNotFound")
        elif found.re is _API:
            self.answer(200, orjson.dumps(_info(found[1], repository, *at)))
        elif repository.gated and token not in hub.granted:
            self.answer(403 if token else 401, X_Error_Code="GatedRepo")
        elif found[3] not in at[1]:
            self.answer(404, X_Error_Code="EntryNotFound", X_Repo_Commit=at[0])
        else:
            self._file(found[3], at[1][found[3]], at[0])

    def _file(self, name: str, body: bytes, commit: str) -> None:
        if not name.endswith(LARGE):
            headers = {"ETag": f'"{_blob_id(body)}"', "X_Repo_Commit": commit}
            self.answer_file(self.server, name, body, **headers)
            return
        sha256 = hashlib.sha256(body).hexdigest()
        place = f"/{sha256}/{name}"
        self.server.files_host.content[place] = body
        self.answer(
            302,
            Location=f"{self.server.files_host.url}{place}?signature=of-this-download",
            X_Repo_Commit=commit,
            X_Linked_Etag=f'"{sha256}"',
            X_Linked_Size=str(len(body)),
            ETag='"of-the-redirect"',
        )


class _FilesHandler(_Handler):
    server: _FilesHost

    def do_GET(self) -> None:
        path = unquote(urlsplit(self.path).path)
        self.take_note(self.server.hub, self.server.url)
        name = path.rpartition("/")[2]
        self.answer_file(self.server.hub, name, self.server.content[path])


@contextmanager
def model_hub() -> Iterator[ModelHub]:
    """A hub in threads of this process."""
    with ModelHub() as hub, serving(hub), serving(hub.files_host):
        yield hub


def _info(
    repo: str, repository: Repository, commit: str, files: dict[str, bytes]
) -> dict[str, object]:
    """What the hub says of a commit, with its files."""
    siblings: list[dict[str, object]] = [{"rfilename": name} for name in repository.listed]
    for name, body in files.items():
        entry: dict[str, object] = {"rfilename": name, "size": len(body), "blobId": _blob_id(body)}
        if name.endswith(LARGE):
            sha256 = hashlib.sha256(body).hexdigest()
            entry["lfs"] = {"sha256": sha256, "size": len(body), "pointerSize": 134}
        siblings.append(entry)
    return {
        "id": repo,
        "sha": commit,
        "siblings": siblings,
        "gated": "auto" if repository.gated else False,
        "private": False,
        "cardData": {"license": repository.licence},
    }


def _blob_id(body: bytes) -> str:
    return hashlib.sha1(f"blob {len(body)}\0".encode() + body).hexdigest()
