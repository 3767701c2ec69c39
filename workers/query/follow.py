"""Queries follow the index when another encoder's takes its place.

An index is searched with the vectors of the encoder that made it, never with others. Where the live
index turns out to be of another model, the encoder that is in effect now is loaded, and the same
queries are encoded again: so a list is of one index and of one encoder, and none is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import structlog

from index.errors import ModelMismatch
from stream.messages import Result
from stream.records import Record
from workers.query.prepared import PreparedQuery, RejectedQuery
from workers.query.steps import QueryPipeline

log = structlog.get_logger()


class FollowingPipeline:
    """A `QueryPipeline` that is made anew for another encoder. `search` as there."""

    def __init__(self, make: Callable[[], QueryPipeline]) -> None:
        self._make = make
        self._pipeline = make()

    async def prepare(self, record: Record) -> PreparedQuery | RejectedQuery:
        """See `QueryPipeline.prepare`."""
        return await self._pipeline.prepare(record)

    def warm(self) -> bool:
        """See `QueryPipeline.warm`; of another encoder's index, the next query takes care."""
        try:
            return self._pipeline.warm()
        except ModelMismatch:
            return True

    def follow(self) -> bool:
        """See `QueryPipeline.follow`."""
        return self._pipeline.follow()

    def search(
        self, prepared: Sequence[PreparedQuery | RejectedQuery]
    ) -> list[Result | RejectedQuery]:
        """See `QueryPipeline.search`.

        Raises:
            ModelMismatch: the index is of another model than the encoder that is in effect now.
        """
        try:
            return self._pipeline.search(prepared)
        except ModelMismatch as error:
            log.info("loading another encoder", why=str(error))
            followed = self._make()
            self._pipeline.close()
            self._pipeline = followed
            return self._pipeline.search(prepared)

    def close(self) -> None:
        """Close the index."""
        self._pipeline.close()
