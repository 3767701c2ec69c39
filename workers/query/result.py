"""The result of a query, of its page and what was retrieved; and the impression of a result."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict

from index.search.facets import Counted
from index.search.retrieve import Retrieved
from models.embedding.layout import PartWeights
from models.embedding.protocol import Encoded
from models.juicer.juice import Juice
from stream.messages import (
    FacetCount,
    FacetCounts,
    Impression,
    ObjectGroup,
    Query,
    QueryJuice,
    Result,
    Shown,
)
from stream.schema_1 import schema_of
from workers.catalog_index import Found
from workers.query.page import Page

NO_MATCH = 0.5
"""From this probability on that none is the very product, the result says that there is none."""


def result_of(
    query: Query,
    encoded: Encoded,
    page: Page,
    first: Retrieved,
    found: Found,
    model_id: str,
    took_ms: Mapping[str, float],
    groups: Sequence[ObjectGroup] = (),
    not_reranked: str | None = None,
) -> Result:
    """The result of a query that was answered.

    `first` is what was retrieved for its first page, `found` from where; `not_reranked` says why
    retrieval's order stands, where it does.
    """
    none = page.no_match_probability
    sent = query.image is not None or bool(query.images)
    return Result(
        schema=schema_of(query),
        query_id=query.query_id,
        items=page.items,
        no_match=is_no_match(none),
        no_match_probability=none,
        groups=tuple(groups),
        found=page.found,
        found_is_exact=page.found_is_exact,
        facets=tuple(map(_facet_counts, first.facets)),
        page=query.page,
        retrieved=page.retrieved,
        juice=query_juice(encoded.juice) if sent and encoded.juice.has_picture else None,
        part_weights=_shares(encoded.weights) if query.explain else {},
        probed=asdict(first.probed) if query.explain and first.probed else {},
        generation=found.generation,
        model_id=model_id,
        bank_version=found.bank_version,
        took_ms=dict(took_ms),
        not_reranked=not_reranked,
    )


def is_no_match(probability: float | None) -> bool:
    """Whether a list says that none of it is the very product; one without candidates does not."""
    return probability is not None and probability > NO_MATCH


def _facet_counts(counted: Counted) -> FacetCounts:
    return FacetCounts(
        field=counted.facet.text,
        counts=tuple(FacetCount(value=one.value, count=one.count) for one in counted.counts),
        more=counted.more,
    )


def _shares(weights: PartWeights) -> dict[str, float]:
    """The weights in use, by part."""
    parts = ("identity", "appearance", "colour", "text")
    return {part: round(getattr(weights, part), 6) for part in parts}


def query_juice(juice: Juice) -> QueryJuice:
    """What the result shows of the query's own picture."""
    return QueryJuice(grid=juice.grid, kept=juice.kept, box=juice.box, classes=juice.classes)


def impression(result: Result, now_ms: int) -> Impression:
    """The impression of a result: what was shown, where, by which model.

    Products of groups follow those of the list, so that clicks on them are attributed too.
    """
    shown = list(result.items)
    for group in result.groups:
        known = {item.item_id for item in shown}
        shown += [item for item in group.items if item.item_id not in known]
    return Impression(
        event_time=now_ms,
        query_id=result.query_id,
        items=tuple(
            Shown(
                product_id=item.product_id,
                item_id=item.item_id,
                position=position,
                score=item.probability,
            )
            for position, item in enumerate(shown, start=shown[0].position if shown else 1)
        ),
        model_id=result.model_id,
        bank_version=result.bank_version,
    )
