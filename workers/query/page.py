"""One page of an answer: as much is retrieved and ranked as it takes, then ordered and cut.

The list of a query is the same whatever page of it is asked for: retrieval orders all products, and
they are ranked in blocks of `query.candidates`. A page of the first block costs one block. Where
results are left out or collapse, later blocks are ranked until the page is full, or nothing in a
block is probable enough any more.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from index.item import Hit
from index.search.retrieve import Request, Retrieved
from models.embedding.protocol import Encoded
from models.reranking.catalog_shift import NO_SHIFT, CatalogShift
from models.reranking.protocol import ListReranker
from stream.messages import REACHABLE, Query, ResultItem
from workers.query.near_duplicates import NAMED, Collapsed, collapse
from workers.query.parse import Parsed
from workers.query.rerank import RankedHit, rank, result_item


@dataclass(frozen=True)
class Page:
    """A page, and what is known of the whole list: see `stream.messages.Result`."""

    items: tuple[ResultItem, ...]
    retrieved: tuple[str, ...]
    found: int
    found_is_exact: bool
    no_match_probability: float | None


def request_of(query: Query, parsed: Parsed, encoded: Encoded, block: int) -> Request:
    """What the first page's worth of a query asks of the index."""
    # With a least probability, the list is of what is near; else price decides alone.
    by_price = query.sort != "relevance" and not query.min_probability
    return Request(
        vector=encoded.vector,
        depth=_depth(query.top * query.page, block),
        block=block,
        filter=parsed.filter,
        facets=parsed.facets,
        order=query.sort if by_price and query.sort != "relevance" else "nearest",
        by_product=query.group != "none",
        vectors=query.group == "near_duplicate",
        consistent=query.consistency == "read_your_writes",
        left_out=query.like,
    )


class PageOf:
    """Makes the page of one query.

    `retrieve` answers a request for more than was retrieved at first; `shift` is what the catalog
    corrects scores by.
    """

    def __init__(
        self,
        query: Query,
        encoded: Encoded,
        request: Request,
        reranker: ListReranker,
        retrieve: Callable[[Request], Retrieved],
        has_parts: bool,
        shift: CatalogShift = NO_SHIFT,
    ) -> None:
        self._query = query
        self._encoded = encoded
        self._request = request
        self._reranker = reranker
        self._retrieve = retrieve
        self._has_parts = has_parts
        self._shift = shift

    def page(self, first: Retrieved) -> Page:
        """The page, given what was retrieved for the request.

        Raises:
            ModelError: the reranker cannot compare the query with what was found.
            SearchIndexError: the index does not answer.
        """
        query, block = self._query, self._request.block
        retrieved, ranked, ended = first, list[RankedHit](), False
        while True:
            before = len(ranked)
            while len(ranked) < len(retrieved.hits) and not ended:
                one_block = self._rank(retrieved.hits[len(ranked) : len(ranked) + block])
                ranked += one_block
                # So that the list ends at the same place whatever page of it is asked for.
                ended = bool(query.min_probability) and not any(map(self._probable, one_block))
            places = self._places(ranked)
            # By price the first may come last: all that are probable enough must be known.
            whole = query.sort != "relevance" and bool(query.min_probability)
            full = len(places) >= query.top * query.page and not whole
            further = before < len(ranked) < REACHABLE and not retrieved.entire
            if full or ended or not further:
                break
            depth = _depth(2 * len(ranked), block)
            retrieved = self._retrieve(replace(self._request, depth=depth, facets=()))
        start = query.top * (query.page - 1)
        shown = places[start : start + query.top]
        probable = sum(map(self._probable, ranked))
        return Page(
            items=tuple(
                result_item(
                    one.best,
                    start + number,
                    len(one.others),
                    tuple(one.others[:NAMED]),
                    self._encoded.juice if query.explain else None,
                )
                for number, one in enumerate(shown, start=1)
            ),
            retrieved=tuple(hit.item.product_id for hit in first.hits[: query.top]),
            found=probable if query.min_probability else first.found,
            found_is_exact=not query.min_probability
            or (retrieved.entire and len(ranked) == len(retrieved.hits)),
            no_match_probability=self._none_of_these(ranked[:block]) if ranked else None,
        )

    def _rank(self, hits: Sequence[Hit]) -> list[RankedHit]:
        query = self._query
        return rank(
            self._encoded,
            query.text,
            hits,
            self._reranker,
            shift=self._shift,
            explain=query.explain,
        )

    def _none_of_these(self, ranked: Sequence[RankedHit]) -> float:
        return self._shift.of_none(self._reranker.none_of_these([one.ranked for one in ranked]))

    def _places(self, ranked: list[RankedHit]) -> list[Collapsed]:
        """What has a place in the list, in its order."""
        probable = [one for one in ranked if self._probable(one)]
        if self._query.sort != "relevance":
            probable.sort(key=self._price)
        if self._query.group == "near_duplicate":
            return collapse(probable, self._has_parts)
        return [Collapsed(one) for one in probable]

    def _probable(self, one: RankedHit) -> bool:
        return one.probability >= self._query.min_probability

    def _price(self, one: RankedHit) -> tuple[float, str]:
        price = one.hit.item.offer.get("price")
        if price is None:
            return math.inf, one.hit.item.product_id
        return (-price if self._query.sort == "price:desc" else price), one.hit.item.product_id


def _depth(wanted: int, block: int) -> int:
    """So many products, in whole blocks, as far as pages reach."""
    return block * math.ceil(min(wanted, REACHABLE) / block)
