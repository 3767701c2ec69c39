"""A client's way over HTTP, to a web worker."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import chain
from typing import Any

import httpx
import msgspec
import tenacity

from lookstream.errors import AccessDenied
from stream.errors import BrokerError, DecodeError, RequestTimeout, StreamError
from stream.messages import CatalogEvent, Click, Query, QueryError, Result
from stream.outcome_follower import End

AT_ONCE = 16
ATTEMPTS = 4
FIRST_WAIT_S, MOST_WAIT_S = 0.2, 5.0
BUSY = (429, 502, 503)
OURS = ("invalid_field", "not_json", "media_type", "too_large")
"""Problems of a request; others with status 422 are what the query worker says."""


class _Busy(Exception):
    """The request may work later."""

    def __init__(self, error: StreamError) -> None:
        super().__init__(str(error))
        self.error = error


class HttpTransport:
    """Asks and sends over HTTP; what may work later is tried again, with jitter.

    Every request may be repeated: a query changes nothing, and an event that is sent twice is
    applied once.

    Args:
        address: http(s)://HOST:PORT of the web worker.
        key: an API key, where the server has some.
        timeout_s: how long an answer may take.
        transport: of httpx, for tests.
    """

    def __init__(
        self,
        address: str,
        key: str | None,
        timeout_s: float,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        headers = {} if key is None else {"Authorization": f"Bearer {key}"}
        self._http = httpx.Client(
            base_url=address, headers=headers, timeout=timeout_s + 1, transport=transport
        )
        self._pool = ThreadPoolExecutor(AT_ONCE, "lookstream-http")

    def submit(self, query: Query) -> Future[Result]:
        """Ask, in a thread."""
        return self._pool.submit(self._search, query)

    def send(self, events: Sequence[CatalogEvent | Click]) -> list[str]:
        """Send one after the other: the order of a product's events counts."""
        return [self._send(event) for event in events]

    def end_of(self, event_id: str, within_s: float) -> End | None:
        """How an event ended, by the server."""
        path = f"/events/{event_id}"
        found = self._request("GET", path, params={"timeout_s": within_s}, timeout=within_s + 5)
        states = {"searchable": "applied"}
        state = states.get(found["state"], found["state"])
        return None if state == "accepted" else End(state, found.get("reason", ""))

    def close(self) -> None:
        """Close the connections; queries under way are waited for."""
        self._pool.shutdown()
        self._http.close()

    def _search(self, query: Query) -> Result:
        try:
            found = self._request("POST", "/search", content=msgspec.json.encode(query))
        except _Refused as refused:
            return Result(query_id=query.query_id, error=refused.error)
        for item in chain(*(one.get("items", ()) for one in (found, *found.get("groups", ())))):
            item.pop("image_url", None)
        return msgspec.convert({**found, "type": "result", "schema": 2}, Result)

    def _send(self, event: CatalogEvent | Click) -> str:
        path = "/events" if isinstance(event, Click) else "/products"
        try:
            return str(
                self._request("POST", path, content=msgspec.json.encode(event)).get("event_id", "")
            )
        except _Refused as refused:
            raise DecodeError(refused.error.message, refused.error.field) from refused

    def _request(self, method: str, path: str, **options: Any) -> dict[str, Any]:
        """The answer's object.

        Raises:
            AccessDenied, BrokerError, DecodeError, RequestTimeout: by the problem's status.
        """
        tries = tenacity.Retrying(
            retry=tenacity.retry_if_exception_type(_Busy),
            stop=tenacity.stop_after_attempt(ATTEMPTS),
            wait=tenacity.wait_random_exponential(FIRST_WAIT_S, MOST_WAIT_S),
            reraise=True,
        )
        try:
            return tries(self._once, method, path, options)
        except _Busy as busy:
            raise busy.error from busy

    def _once(self, method: str, path: str, options: dict[str, Any]) -> dict[str, Any]:
        headers = {"Content-Type": "application/json"} if "content" in options else {}
        try:
            answer = self._http.request(method, path, headers=headers, **options)
        except httpx.TimeoutException as error:
            raise RequestTimeout(f"no answer from {self._http.base_url} in time") from error
        except httpx.TransportError as error:
            raise _Busy(
                BrokerError(f"no web worker answers at {self._http.base_url}: {error}")
            ) from error
        if answer.is_success:
            return dict(answer.json())
        raise _error_of(answer)


class _Refused(Exception):
    """The query worker could not answer."""

    def __init__(self, error: QueryError) -> None:
        super().__init__(error.message)
        self.error = error


def _error_of(answer: httpx.Response) -> Exception:
    try:
        problem = dict(answer.json())
    except ValueError:
        problem = {}
    detail = str(problem.get("detail", f"{answer.url} answered with status {answer.status_code}"))
    code, field = str(problem.get("code", "unknown")), problem.get("field")
    if answer.status_code in (401, 403):
        return AccessDenied(detail)
    if answer.status_code in BUSY:
        return _Busy(BrokerError(detail))
    if answer.status_code == 504:
        return RequestTimeout(detail)
    if answer.status_code == 422 and code not in OURS:
        return _Refused(
            QueryError(code=code, message=detail, field=field, position=problem.get("position"))
        )
    return DecodeError(detail, field)
