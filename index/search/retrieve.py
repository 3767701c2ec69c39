"""Retrieval of products: the nearest of those that pass a filter, counted and in exact order.

How many products pass decides how they are searched:

- The vectors are in the table (Milvus Lite): the rows that pass are scored one by one, exactly; of
  more than some thousand, where there is no filter, those of the most promising prototypes
  (`index.search.cells`).
- Else (a Milvus server), every product may be found, and each has one item: the nearest prototypes
  are probed (`index.search.probe`).
- Few rows pass: their vectors are read by key and scored; or many do: the rows nearest to the query
  are asked for by key alone, in ever larger number, until enough of them pass, and where Milvus
  gives no more, those that pass are scored after all.

Then the best item of each product is read. An item that was written between its look-up in the
table and its reading is looked up again, so that what is returned passes the filter as it is now.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np

from index.item import Hit, Item, Vector
from index.milvus.collection import Collection
from index.milvus.table_rows import MAX_HITS
from index.search.columns import Mask
from index.search.facets import Counted, Facet
from index.search.filter import Filter
from index.search.probe import Probed, probe_counted
from index.search.table import NO_SLOT, Table, Words
from index.vectors import Rows

EXACT = 20_000
"""So many rows in the table are all scored, also without a filter: 4 ms for 768 values each."""
WALK = 1000
"""On a server, so many rows are read rather than searched for: 20 ms."""
SPARE = 2
"""How many more rows than expected are asked for at first."""
RETRIES = 3
"""How often to look again for what was written meanwhile."""
FOREMOST = 4
"""So many rows for each product that is wanted are looked at first: others may be of the same."""
Order = Literal["nearest", "price:asc", "price:desc"]
SAME = 6
"""Decimals of a cosine that count for the order; equal ones are ordered by id."""


@dataclass(frozen=True, eq=False)
class Request:
    """What one query asks of the index.

    Attributes:
        vector: of length 1, (d,).
        depth: how many products (or items) are wanted, from 1.
        block: how many of them, from the first, are the same for every `depth`, also where they are
            found by probing, which is approximate; 1..1000.
        filter: which products may be found; None: all.
        facets: what to count over all that may be found.
        order: by cosine, or by price; what has none comes last, and ties go by product id.
        by_product: one item for each product, the nearest; otherwise all items.
        vectors: whether the items come with their vectors.
        consistent: whether what was written a moment before must be seen.
        left_out: products that must not be found, whatever the filter says.
    """

    vector: Vector
    depth: int
    block: int
    filter: Filter | None = None
    facets: tuple[Facet, ...] = ()
    order: Order = "nearest"
    by_product: bool = True
    vectors: bool = False
    consistent: bool = False
    left_out: tuple[str, ...] = ()

    @property
    def restricted(self) -> bool:
        """Whether some products may not be found."""
        return self.filter is not None or bool(self.left_out)


@dataclass(frozen=True, eq=False)
class Retrieved:
    """The answer to a request.

    Attributes:
        hits: nearest first, `depth` of them or all that there are.
        found: how many products may be found.
        entire: whether the hits are all of them.
        facets: as asked for.
        probed: which prototypes were opened; None where every row that passes was compared.
    """

    hits: list[Hit] = field(default_factory=list)
    found: int = 0
    entire: bool = True
    facets: list[Counted] = field(default_factory=list)
    probed: Probed | None = None


class Retriever:
    """One collection and its table; not thread-safe. `words`, if any, follow its texts."""

    def __init__(self, collection: Collection, words: Words | None = None) -> None:
        self.collection = collection
        self._reading = collection
        """The collection at the consistency of the requests under way."""
        self.table = Table(words)
        self._seen: Any = None

    def refresh(self) -> None:
        """Bring the table up to date with what was written."""
        while True:
            products, self._seen = self._reading.changes(self._seen)
            if not products:
                return
            self.table.apply(products)

    def follow(self) -> bool:
        """Take in a page of what was written, where the mirror has it; whether there is more."""
        if not self.table.has_vectors or self._reading.unchanged(self._seen):
            return False
        products, self._seen = self._reading.changes(self._seen)
        self.table.apply(products)
        return bool(products)

    def retrieve(self, requests: Sequence[Request]) -> list[Retrieved]:
        """Answer requests, each by itself.

        Raises the errors of `index.errors`.
        """
        answers: dict[int, Retrieved] = {}
        for consistent in (False, True):
            chosen = [at for at, one in enumerate(requests) if one.consistent == consistent]
            if not chosen:
                continue
            self._reading = self.collection.consistent() if consistent else self.collection
            try:
                found = self._retrieve([requests[at] for at in chosen])
            finally:
                self._reading = self.collection
            answers |= dict(zip(chosen, found, strict=True))
        return [answers[at] for at in range(len(requests))]

    def _retrieve(self, requests: Sequence[Request]) -> list[Retrieved]:
        self.refresh()
        probed = self._probed(requests)
        return [
            self._exact(request) if found is None else self._probed_further(request, *found)
            for request, found in zip(requests, probed, strict=True)
        ]

    def first_items(self, product_ids: Sequence[str]) -> dict[str, Item]:
        """The first item of each of these products that is there, with its vector."""
        self.refresh()
        mask = np.zeros_like(self.table.select(None))
        mask[self.table.slots(product_ids)] = True
        row_ids = [self.table.row_id(row) for row in self.table.rows(mask).tolist()]
        first: dict[str, Item] = {}
        for item in self.collection.fetch(row_ids, vectors=True).values():
            known = first.setdefault(item.product_id, item)
            if (len(item.item_id), item.item_id) < (len(known.item_id), known.item_id):
                first[item.product_id] = item
        return first

    def _probed(self, requests: Sequence[Request]) -> list[tuple[list[Hit], Probed] | None]:
        """The first hits of those requests that probing answers, a search for each block."""
        found: list[tuple[list[Hit], Probed] | None] = [None] * len(requests)
        if self.table.has_vectors or self.table.items != len(self.table) or not len(self.table):
            return found
        blocks: dict[int, list[int]] = {}
        for number, one in enumerate(requests):
            if not one.restricted and not one.vectors and one.order == "nearest":
                blocks.setdefault(one.block, []).append(number)
        for block, numbers in blocks.items():
            vectors = np.stack([requests[number].vector for number in numbers])
            hits = probe_counted(self._reading, self._reading.bank, vectors, block)
            for number, (some, probed) in zip(numbers, hits, strict=True):
                if len({hit.item.product_id for hit in some}) == min(block, len(self.table)):
                    found[number] = some, probed
        return found

    def _probed_further(self, request: Request, hits: list[Hit], probed: Probed) -> Retrieved:
        """What probing found, and after it what is next in exact order."""
        more: list[Hit] = []
        if request.depth > request.block and len(hits) < len(self.table):
            first = tuple(hit.item.product_id for hit in hits)
            rest = replace(request, depth=request.depth - request.block, left_out=first)
            more = self._exact(rest).hits
        return Retrieved(
            hits=[*hits[: request.depth], *more],
            found=len(self.table),
            entire=len(hits) + len(more) >= len(self.table),
            facets=self.table.count(request.facets, self.table.select(None)),
            probed=probed,
        )

    def _exact(self, request: Request) -> Retrieved:
        for last in (*[False] * RETRIES, True):
            mask = self._mask(request)
            rows, probed = self._nearest(request, mask)
            items = self._reading.fetch(
                [self.table.row_id(row) for row, _ in rows], request.vectors
            )
            gone = [row for row, _ in rows if self.table.row_id(row) not in items]
            hits = [
                Hit(items[key], similarity)
                for row, similarity in rows
                if (key := self.table.row_id(row)) in items
            ]
            passing = self._passing(request, hits)
            if last or (not gone and len(passing) == len(hits)):
                break
            self._look_again(gone)
        found = int(mask.sum())
        hits = passing
        whole = found if request.by_product else len(self.table.rows(mask))
        return Retrieved(
            hits=hits,
            found=found,
            entire=len(hits) >= whole,
            facets=self.table.count(request.facets, mask),
            probed=probed,
        )

    def _mask(self, request: Request) -> Mask:
        mask = self.table.select(request.filter)
        if request.left_out:
            mask[self.table.slots(request.left_out)] = False
        return mask

    def _passing(self, request: Request, hits: list[Hit]) -> list[Hit]:
        """The hits whose items pass the filter as they were read just now."""
        if request.filter is None or not hits or self._reading.unchanged(self._seen):
            return hits
        passes = Table.of([hit.item for hit in hits]).select(request.filter)
        return [hit for hit, one in zip(hits, passes, strict=True) if one]

    def _look_again(self, gone: Sequence[int]) -> None:
        """Follow what was written meanwhile; rows that are gone may have left no other trace."""
        slots = self.table.slots_of(np.array(gone, np.int64)).tolist()
        ids = sorted({self.table.product_id(slot) for slot in slots})
        self.refresh()
        if ids:
            self.table.apply(self._reading.products(ids, vectors=self.table.has_vectors))

    def _nearest(
        self, request: Request, mask: Mask
    ) -> tuple[list[tuple[int, float]], Probed | None]:
        """Rows and their cosines, best first, at most `depth`; and how they were probed for."""
        if request.depth < 1 or not mask.any():
            return [], None
        if request.order != "nearest":
            return self._by_price(request, mask), None
        if self.table.has_vectors and request.filter is None and self.table.items > EXACT:
            return self._opened(request, mask)
        rows = self.table.rows(mask)
        if self.table.has_vectors:
            return self._best(rows, self.table.similarities(rows, request.vector), request), None
        if len(rows) > WALK and (found := self._searched(request, mask, len(rows))) is not None:
            return found, None
        return self._walked(rows, request), None

    def _opened(self, request: Request, mask: Mask) -> tuple[list[tuple[int, float]], Probed]:
        """As `_nearest`, from the cells of the table; after the first block all is compared."""
        first = replace(request, depth=request.block)
        cells = self.table.probe(request.vector, request.block, mask, by_product=request.by_product)
        found = self._best(cells.rows, cells.cosines, first)
        probed = Probed(cells.cells, self.table.cells, cells.seen)
        if request.depth <= request.block or len(found) < request.block:
            return found[: request.depth], probed
        rows = self.table.rows(mask)
        known = np.array([row for row, _ in found], np.int64)
        slots = self.table.slots_of(rows)
        others = rows[
            ~np.isin(slots, self.table.slots_of(known))
            if request.by_product
            else ~np.isin(rows, known)
        ]
        rest = replace(request, depth=request.depth - request.block)
        return found + self._best(
            others, self.table.similarities(others, request.vector), rest
        ), probed

    def _by_price(self, request: Request, mask: Mask) -> list[tuple[int, float]]:
        """As `_nearest`, by price: all rows of the first products, or the best of each."""
        slots = np.flatnonzero(mask)
        prices = self.table.prices(slots)
        signed = np.nan_to_num(-prices if request.order == "price:desc" else prices, nan=np.inf)
        if len(slots) > request.depth:
            last = np.partition(signed, request.depth - 1)[request.depth - 1]
            slots, signed = slots[signed <= last], signed[signed <= last]
        by_id = [
            slot
            for _, _, slot in sorted(
                (price, self.table.product_id(slot), slot)
                for price, slot in zip(signed.tolist(), slots.tolist(), strict=True)
            )
        ][: request.depth]
        place = {slot: number for number, slot in enumerate(by_id)}
        some = np.zeros(len(mask), bool)
        some[by_id] = True
        rows = self.table.rows(some)
        every = replace(request, depth=len(rows))
        scored = (
            self._best(rows, self.table.similarities(rows, request.vector), every)
            if self.table.has_vectors
            else self._walked(rows, every)
        )
        slot_of = self.table.slots_of(np.array([row for row, _ in scored], np.int64)).tolist()
        order = sorted(range(len(scored)), key=lambda at: place[slot_of[at]])  # stable
        return [scored[at] for at in order[: request.depth]]

    def _searched(
        self, request: Request, mask: Mask, passing: int
    ) -> list[tuple[int, float]] | None:
        """As `_nearest`, of hits of a search over everything; None if Milvus gives too few."""
        of_all = self.table.items / passing
        # Items of one product lie together, so that the first ones may be of few products.
        each = self.table.items / max(1, len(self.table)) if request.by_product else 1.0
        limit = min(MAX_HITS, int(SPARE * request.depth * of_all * each) + 1)
        while True:
            hits = self._reading.nearest(request.vector, limit)
            known = [(self.table.row(key), cosine) for key, cosine in hits]
            rows = np.array([row for row, _ in known], np.int64).reshape(-1)
            cosines = np.array([cosine for _, cosine in known], np.float32)
            slots = np.where(rows == NO_SLOT, NO_SLOT, self.table.slots_of(rows))
            passes = (slots != NO_SLOT) & np.append(mask, False)[slots]
            found = self._best(rows[passes], cosines[passes], request)
            if len(found) >= request.depth or len(hits) < limit:
                # Hits that tie with the last one may be missing: what is equal is as good.
                return found
            if limit == MAX_HITS:
                return None
            limit = min(MAX_HITS, 4 * limit)

    def _walked(self, rows: Rows, request: Request) -> list[tuple[int, float]]:
        """As `_nearest`, of all rows that pass, read by key."""
        kept: list[tuple[int, float]] = []
        for start in range(0, len(rows), WALK):
            some = rows[start : start + WALK].tolist()
            keys = [self.table.row_id(row) for row in some]
            vectors = self._reading.fetch_vectors(keys)
            there = [
                (row, vectors[key]) for row, key in zip(some, keys, strict=True) if key in vectors
            ]
            if there:
                cosines = np.stack([vector for _, vector in there]) @ request.vector
                kept += zip([row for row, _ in there], cosines.tolist(), strict=True)
        return self._best(
            np.array([row for row, _ in kept], np.int64),
            np.array([cosine for _, cosine in kept], np.float32),
            request,
        )

    def _best(self, rows: Rows, cosines: Any, request: Request) -> list[tuple[int, float]]:
        """The first `depth` by cosine, the best row of each product; ties by product and key."""
        rows, cosines = self._foremost(rows, cosines, request)
        rounded = np.round(cosines.astype(np.float64), SAME)
        order = np.argsort(-rounded, kind="stable")
        if request.by_product:
            _, first = np.unique(self.table.slots_of(rows[order]), return_index=True)
            order = order[np.sort(first)]
        if len(order) > request.depth:
            least = rounded[order[request.depth - 1]]
            order = order[rounded[order] >= least]

        def place(at: int) -> tuple[float, str, str]:
            row = int(rows[at])
            slot = int(self.table.slots_of(np.array([row]))[0])
            return -rounded[at], self.table.product_id(slot), self.table.row_id(row)

        chosen = sorted(order.tolist(), key=place)[: request.depth]
        return [(int(rows[at]), float(cosines[at])) for at in chosen]

    def _foremost(self, rows: Rows, cosines: Any, request: Request) -> tuple[Rows, Any]:
        """Those among which the first `depth`, and what ties with them, are: few, to be sorted."""
        count = FOREMOST * request.depth
        while count < len(rows):
            least = np.partition(cosines, len(rows) - count)[len(rows) - count]
            best = rows[cosines >= least]
            if not request.by_product or len(np.unique(self.table.slots_of(best))) >= request.depth:
                some = cosines >= least - 2 * 10.0**-SAME
                return rows[some], cosines[some]
            count *= FOREMOST
        return rows, cosines
