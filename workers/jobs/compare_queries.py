"""Comparing two generations by what shoppers asked lately: the same queries, answered by both.

The queries are the newest of the query topic, each answered by the whole pipeline with the encoder
of either generation; nobody gets the answers. Clicks tell which product was meant.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from models.embedding.protocol import CatalogEncoder
from stream.codec import decode
from stream.errors import DecodeError
from stream.messages import Click, Result
from stream.records import Record
from stream.span_reader import Newest, Span, SpanReader
from workers.config.load_models import reranker_of
from workers.config.settings import Settings
from workers.config.wiring import kafka_of, topics_of
from workers.jobs.replay import replay_queries

QUERIES = 200
"""Queries asked again; pictures that have expired since are left out."""
CLICKS = 2000
TOP = 10


@dataclass(frozen=True)
class QueryComparison:
    """What recent queries find in both.

    Attributes:
        queries: answered by both, and in one of them not without a product.
        overlap: share of the first ten products in common, 0..1, on average; None without queries.
        clicked: how many of them were clicked on.
        live_hit_1, live_hit_10: share of those whose clicked product is the first, or of the first
            ten, in the live catalog; None without clicks.
        candidate_hit_1, candidate_hit_10: the same in the candidate.
    """

    queries: int
    overlap: float | None
    clicked: int
    live_hit_1: float | None
    live_hit_10: float | None
    candidate_hit_1: float | None
    candidate_hit_10: float | None

    def json(self) -> dict[str, Any]:
        """The report for machines."""
        return asdict(self)


async def compare_queries(
    settings: Settings,
    candidate: Settings,
    live_encoder: CatalogEncoder,
    encoder: CatalogEncoder,
) -> QueryComparison:
    """Ask the newest queries in the live catalog and in a candidate.

    Args:
        settings: of the live catalog.
        candidate: of the other one.
        live_encoder: that made the live one.
        encoder: that made the candidate.

    Raises:
        BrokerError: Kafka does not answer.
    """
    topics = topics_of(settings)
    records = list(_newest(settings, topics.query.name, QUERIES))
    live = await _answers(records, settings, live_encoder)
    other = await _answers(records, candidate, encoder)
    clicked: dict[str, set[str]] = {}
    for record in _newest(settings, topics.click.name, CLICKS):
        try:
            click = decode(record.value, Click)
        except DecodeError:
            continue
        clicked.setdefault(click.query_id, set()).add(click.product_id)
    return compared(live, other, clicked)


def compared(
    live: dict[str, list[str]], other: dict[str, list[str]], clicked: dict[str, set[str]]
) -> QueryComparison:
    """Compare lists of product ids by query, given the products that were clicked on."""
    asked = [one for one in live if one in other and (live[one] or other[one])]
    shares = [
        len({*live[one]} & {*other[one]}) / max(len(live[one]), len(other[one])) for one in asked
    ]
    judged = [one for one in asked if one in clicked]

    def hits(lists: dict[str, list[str]], depth: int) -> float | None:
        return _mean([bool(clicked[one] & {*lists[one][:depth]}) for one in judged])

    return QueryComparison(
        queries=len(asked),
        overlap=_mean(shares),
        clicked=len(judged),
        live_hit_1=hits(live, 1),
        live_hit_10=hits(live, TOP),
        candidate_hit_1=hits(other, 1),
        candidate_hit_10=hits(other, TOP),
    )


async def _answers(
    records: Sequence[Record], settings: Settings, encoder: CatalogEncoder
) -> dict[str, list[str]]:
    """The products of each query's list."""
    found: dict[str, list[str]] = {}

    def note(result: Result) -> None:
        if result.error is None:
            found[result.query_id] = [one.product_id for one in result.items[:TOP]]

    reranker = reranker_of(settings, encoder)
    await replay_queries(iter(records), settings, encoder, reranker, on_result=note)
    return found


def _newest(settings: Settings, topic: str, count: int) -> Iterator[Record]:
    with SpanReader(
        kafka_of(settings), topic, Span(Newest(count)), group=settings.group("compare")
    ) as reader:
        yield from reader


def _mean(values: Sequence[float]) -> float | None:
    return float(np.mean(values)) if values else None
