"""What a request must pass before a route sees it: origin, key, rate and size.

A browser sends requests of any page to loopback, too. So a request that names an origin must be of
this server or of one in `web.cors_origins`, and while there are no keys the `Host` must be one that
the worker knows, so that no foreign name can be pointed at it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from workers.web.api_keys import ApiKey, ApiKeys
from workers.web.problems import Problem, problem_response
from workers.web.rate_limit import RateLimit

LOCAL_HOSTS = frozenset({"localhost", "127.0.0.1", "[::1]"})


@dataclass(frozen=True)
class Access:
    """Who may ask, and how much.

    Attributes:
        keys: accepted keys; without any, every request is let in.
        hosts: names by which the worker is reached, beside loopback's.
        origins: of pages on other servers that may ask.
        rate: of each key, or of each address where there are no keys.
        max_body_bytes: of a request.
    """

    keys: ApiKeys
    hosts: frozenset[str]
    origins: frozenset[str]
    rate: RateLimit
    max_body_bytes: int


class Guard:
    """ASGI middleware. It leaves the key of the request in `request.state.key`."""

    def __init__(self, app: ASGIApp, access: Access, open_paths: Callable[[str], bool]) -> None:
        self._app = app
        self._access = access
        self._open = open_paths

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let the request pass, or answer with a problem."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request = Request(scope)
        try:
            self._check_origin(request)
            if not self._open(request.url.path):
                request.state.key = self._check_key(request)
                self._check_rate(request)
            limited = self._limited(request, receive)
        except Problem as problem:
            await problem_response(problem)(scope, receive, send)
            return
        await self._app(scope, limited, send)

    def _check_origin(self, request: Request) -> None:
        host = request.headers.get("host", "").lower()
        name = host if host.endswith("]") else host.rpartition(":")[0] or host
        if not self._access.keys and name not in LOCAL_HOSTS | self._access.hosts:
            raise Problem(
                421,
                "unknown_host",
                f"this server is not known as {name!r}: add the name to web.hosts, or make keys",
            )
        origin = request.headers.get("origin", "")
        own = not origin or urlsplit(origin).netloc.lower() == host
        if not own and origin.lower() not in self._access.origins:
            raise Problem(
                403,
                "foreign_origin",
                f"pages of {origin[:200]!r} may not ask here: add it to web.cors_origins",
            )

    def _check_key(self, request: Request) -> ApiKey | None:
        if not self._access.keys:
            return None
        word = _word(request)
        if not word:
            raise Problem(401, "no_key", "give an API key: the header `Authorization: Bearer KEY`")
        key = self._access.keys.find(word)
        if key is None:
            raise Problem(401, "unknown_key", "this API key is not accepted")
        return key

    def _check_rate(self, request: Request) -> None:
        key: ApiKey | None = request.state.key
        client = key.sha256 if key else request.client.host if request.client else ""
        wait_s = self._access.rate.take(client)
        if wait_s:
            raise Problem(
                429,
                "too_many_requests",
                "too many requests; go on more slowly (web.rate_per_s)",
                retry_after_s=wait_s,
            )

    def _limited(self, request: Request, receive: Receive) -> Receive:
        """The body as it comes, up to the limit; a length that is announced is judged at once."""
        limit = self._access.max_body_bytes
        length = request.headers.get("content-length", "")
        if length.isdecimal() and int(length) > limit:
            raise too_large(limit)
        read = 0

        async def receive_limited() -> Message:
            nonlocal read
            message = await receive()
            if message["type"] == "http.request":
                read += len(message.get("body", b""))
                if read > limit:
                    raise too_large(limit)
            return message

        return receive_limited


def too_large(limit: int) -> Problem:
    """The problem of a body over the limit, in bytes."""
    return Problem(
        413,
        "too_large",
        f"the request is larger than {limit / 1e6:g} MB (web.max_body_bytes): send a smaller "
        "picture, or the products in several requests",
    )


def needs(scope: str) -> Callable[[Request], Awaitable[None]]:
    """A check that a request's key has a scope; raises `Problem`."""

    async def check(request: Request) -> None:
        key: ApiKey | None = request.state.key
        if key is not None and scope not in key.scopes:
            raise Problem(
                403, "scope", f"the key {key.name} may not {scope}: use one with that scope"
            )

    return check


def _word(request: Request) -> str:
    scheme, _, word = request.headers.get("authorization", "").partition(" ")
    return word.strip() if scheme.lower() == "bearer" else request.headers.get("x-api-key", "")
