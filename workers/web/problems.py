"""Errors as problem details (RFC 9457): what is wrong, which field, and what to do."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus

import msgspec
import structlog
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from stream.errors import DecodeError, RequestTimeout

log = structlog.get_logger()

RETRY_AFTER_S = 1


class Problem(Exception):
    """An answer that is an error.

    Attributes:
        status: of HTTP.
        code: what kind of error it is, for machines: an identifier.
        detail: a sentence that says what is wrong and what to do.
        field: of the request, where one is to blame.
        position: the character of that field that it is about, from 0.
        retry_after_s: after how many seconds the same request may work.
    """

    def __init__(
        self,
        status: int,
        code: str,
        detail: str,
        *,
        field: str | None = None,
        position: int | None = None,
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.code = code
        self.detail = detail
        self.field = field
        self.position = position
        self.retry_after_s = retry_after_s


def problem_response(problem: Problem) -> Response:
    """The problem as `application/problem+json`."""
    body = {
        "type": f"urn:lookstream:problem:{problem.code}",
        "title": HTTPStatus(problem.status).phrase,
        "status": problem.status,
        "code": problem.code,
        "detail": problem.detail,
    }
    if problem.field:
        body["field"] = problem.field
    if problem.position is not None:
        body["position"] = problem.position
    headers: dict[str, str] = {}
    if problem.retry_after_s is not None:
        headers["Retry-After"] = str(max(1, round(problem.retry_after_s)))
    if problem.status == HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = "Bearer"
    return Response(msgspec.json.encode(body), problem.status, headers, "application/problem+json")


async def on_problem(_request: Request, error: Exception) -> Response:
    """A handler of Starlette for `Problem` and for the errors of the topics."""
    if isinstance(error, Problem):
        return problem_response(error)
    if isinstance(error, DecodeError):
        return problem_response(Problem(422, "invalid_field", str(error), field=error.field))
    if isinstance(error, RequestTimeout):
        return problem_response(Problem(504, "no_answer", str(error), retry_after_s=RETRY_AFTER_S))
    log.warning("Kafka did not take a message", why=str(error))
    return problem_response(
        Problem(503, "kafka_unavailable", str(error), retry_after_s=RETRY_AFTER_S)
    )


async def on_http_error(request: Request, error: Exception) -> Response:
    """Errors that Starlette finds: no such page, no such method."""
    if not isinstance(error, HTTPException):  # the type that handlers have
        raise error
    details: Mapping[int, str] = {
        404: f"there is nothing at {request.url.path}; /docs lists what there is",
        405: f"{request.method} is not allowed at {request.url.path}; /docs says what is",
    }
    code = HTTPStatus(error.status_code).phrase.lower().replace(" ", "_")
    detail = details.get(error.status_code, error.detail)
    response = problem_response(Problem(error.status_code, code, detail))
    response.headers.update(error.headers or {})
    return response


async def on_defect(request: Request, error: Exception) -> Response:
    """Anything else is our fault; it is logged, and its text goes to nobody else."""
    log.error("a request failed", path=request.url.path, exc_info=error)
    return problem_response(
        Problem(500, "internal_error", "the request failed; the log of the web worker says why")
    )
