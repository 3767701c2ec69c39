"""The topics, without Kafka, for the web worker: what was asked and sent is kept."""

from __future__ import annotations

from concurrent.futures import Future

from stream.errors import StreamError
from stream.event_sender import Place
from stream.messages import CatalogEvent, Click, ObjectGroup, Query, QueryError, Result, ResultItem
from stream.outcome_follower import End
from stream.topics import topic_map

FOUND = ResultItem(
    product_id="milk", item_id="milk#0", probability=0.9, level=0, position=1, title="Oat milk"
)


class FakeGateway:
    """Answers every query with `items`, or raises `failure`; events end as `ends` says."""

    def __init__(self) -> None:
        self.topics = topic_map("test")
        self.items: tuple[ResultItem, ...] = (FOUND,)
        self.groups: tuple[ObjectGroup, ...] = ()
        self.error: QueryError | None = None
        self.failure: StreamError | None = None
        self.ends: dict[str, End] = {}
        self.queries: list[Query] = []
        self.events: list[CatalogEvent] = []
        self.clicks: list[Click] = []

    @property
    def untouched(self) -> bool:
        """Whether nothing reached the topics."""
        return not [*self.queries, *self.events, *self.clicks]

    async def search(self, query: Query) -> Result:
        """The result of a query."""
        self._fail()
        self.queries.append(query)
        return Result(
            query_id=query.query_id,
            items=self.items,
            groups=self.groups,
            error=self.error,
            model_id="m",
        )

    async def send(self, event: CatalogEvent) -> Place:
        """Keep an event."""
        self._fail()
        self.events.append(event)
        return Place(self.topics.catalog.name, 0, len(self.events) - 1)

    async def send_click(self, click: Click) -> None:
        """Keep a click."""
        self._fail()
        self.clicks.append(click)

    def follow(self, place: Place) -> Future[End]:
        """How an event ended, if that is known."""
        ended: Future[End] = Future()
        sent = self.events[place.offset : place.offset + 1]
        if end := next((self.ends.get(one.product_id) for one in sent), None):
            ended.set_result(end)
        return ended

    async def end_of(self, place: Place, within_s: float) -> End | None:
        """The same; nothing is waited for."""
        ended = self.follow(place)
        return ended.result() if ended.done() else None

    def _fail(self) -> None:
        if self.failure:
            raise self.failure
