"""Queries on their way through a worker: prepared, or rejected with the reason."""

from __future__ import annotations

from dataclasses import dataclass

from index.errors import MilvusUnavailable
from stream.connection import MAX_MESSAGE_BYTES
from stream.delivery import Rejection
from stream.messages import Query, QueryError, Result
from stream.records import Record
from stream.schema_1 import encode_result, schema_of_unreadable
from workers.errors import DeadlineExceeded, IntakeError
from workers.intake.reasons import full_reason, reason_for_asker
from workers.query.compose import WeighedPicture
from workers.query.parse import Parsed

MAX_RESULT_BYTES = MAX_MESSAGE_BYTES - 100_000
"""What Kafka adds to a message counts too."""


@dataclass(frozen=True)
class PreparedQuery:
    """A query ready to be encoded.

    `received`, and `fetched` when its picture was there, are on the clock of `time.monotonic`, in
    seconds. `repaired` says that its words are no longer those that were asked.
    """

    record: Record
    query: Query
    parsed: Parsed
    pictures: tuple[WeighedPicture, ...]
    received: float
    fetched: float
    repaired: bool = False


@dataclass(frozen=True)
class RejectedQuery:
    """A query that gets no list; `query_id` is None where no id can be read, and none can wait.

    The rejection is for the operator; `error` is what whoever asked may know.
    """

    record: Record
    query_id: str | None
    rejection: Rejection
    error: QueryError

    @classmethod
    def because(
        cls, one: PreparedQuery, rejection: Rejection, code: str, field: str | None = None
    ) -> RejectedQuery:
        """A prepared query that cannot be answered, for a reason that anybody may know."""
        error = QueryError(code=code, message=rejection.reason, field=field)
        return cls(one.record, one.query.query_id, rejection, error)

    @property
    def result(self) -> Result | None:
        """What is sent to whoever asked, if they can be told."""
        if self.query_id is None:
            return None
        schema = schema_of_unreadable(self.record.value)
        return Result(schema=schema, query_id=self.query_id, error=self.error)


def without_picture(
    record: Record, query: Query, reference: str, field: str, error: IntakeError
) -> RejectedQuery:
    """Why its picture could not be had: all of it for the operator, less for whoever asked."""
    rejection = Rejection(full_reason(reference, error), type(error).__name__)
    late = isinstance(error, DeadlineExceeded)
    told = QueryError(
        code="deadline_exceeded" if late else "picture_unavailable",
        message=reason_for_asker(reference, error) or rejection.reason,
        field=field,
    )
    return RejectedQuery(record, query.query_id, rejection, told)


def unavailable(one: PreparedQuery, error: MilvusUnavailable) -> RejectedQuery:
    """A query that the index did not answer in its time."""
    rejection = Rejection(f"search is unavailable: {error}", "MilvusUnavailable")
    return RejectedQuery.because(one, rejection, "search_unavailable")


def sendable(one: PreparedQuery, result: Result) -> Result | RejectedQuery:
    """The result, unless Kafka would refuse it: a hundred products may have long attributes."""
    if len(encode_result(result)) <= MAX_RESULT_BYTES:
        return result
    reason = (
        f"the list of {len(result.items)} products is larger than a Kafka message may be "
        f"({MAX_RESULT_BYTES:,} bytes): ask for fewer (`top`)"
    )
    return RejectedQuery.because(
        one, Rejection(reason, "ResultTooLarge"), "result_too_large", "top"
    )
