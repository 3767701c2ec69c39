"""From hits to ranked hits: one candidate per hit, compared, calibrated, sorted; and to results."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from index.item import Hit, Item
from models.embedding.protocol import Encoded
from models.juicer.juice import Juice
from models.reranking.catalog_shift import NO_SHIFT, CatalogShift
from models.reranking.matched_patches import matched_patches
from models.reranking.protocol import Candidate, ListReranker, Ranked
from stream.messages import (
    ChunkComparison,
    FeatureContribution,
    PatchMatches,
    ResultItem,
    Suggested,
)
from workers.evidence.predicted_attributes import SUGGESTED


@dataclass(frozen=True, eq=False)
class RankedHit:
    """A hit and what the reranker says of it; `compared` to explain it, if that was asked for."""

    hit: Hit
    ranked: Ranked
    compared: ChunkComparison | None = None

    @property
    def probability(self) -> float:
        """That it is the very product."""
        return self.ranked.score


def rank(
    query: Encoded,
    text: str | None,
    hits: Sequence[Hit],
    reranker: ListReranker,
    *,
    shift: CatalogShift = NO_SHIFT,
    explain: bool = False,
) -> list[RankedHit]:
    """Rerank hits, which come nearest first; `shift` is what the catalog corrects scores by."""
    candidates = [candidate_of(hit.item, hit.similarity) for hit in hits]
    ranked = reranker.rerank(query, text, candidates, explain=explain)
    compared = _comparisons(ranked, hits) if explain else {}
    return [
        RankedHit(hits[one.index], one, compared.get(one.index)) for one in shift.of_list(ranked)
    ]


def candidate_of(item: Item, similarity: float) -> Candidate:
    """What the reranker knows of an item."""
    return Candidate(
        item_id=item.item_id,
        similarity=similarity,
        juice=Juice.from_bytes(item.juice),
        title=item.payload["title"],
        image=item.payload["image"],
        digest=item.digest,
    )


def best_of_products(hits: Sequence[Hit]) -> list[Hit]:
    """The most similar hit of each product, most similar first; ids decide between equal ones."""
    best: dict[str, Hit] = {}
    for hit in sorted(hits, key=lambda hit: (-hit.similarity, hit.item.item_id)):
        best.setdefault(hit.item.product_id, hit)
    return list(best.values())


def result_item(
    one: RankedHit,
    position: int,
    also_seen: int = 0,
    near_duplicates: tuple[str, ...] = (),
    matched_with: Juice | None = None,
) -> ResultItem:
    """What a result shows of a ranked hit; `matched_with` is the query's juice, to explain by."""
    item, ranked = one.hit.item, one.ranked
    payload, offer = item.payload, item.offer
    return ResultItem(
        product_id=item.product_id,
        item_id=item.item_id,
        probability=ranked.score,
        level=ranked.level,
        position=position,
        title=payload["title"],
        category=tuple(payload["category"]),
        image=payload["image"],
        caption=payload["caption"],
        price=offer.get("price"),
        currency=offer.get("currency"),
        in_stock=offer.get("in_stock"),
        attributes=offer.get("attributes"),
        also_seen=also_seen,
        near_duplicates=near_duplicates,
        by_words=ranked.by_words,
        why=tuple(
            FeatureContribution(
                feature=part.feature, value=part.value, contribution=part.contribution
            )
            for part in ranked.why
        ),
        compared=one.compared,
        patches=None if matched_with is None else _patches(matched_with, item.juice),
        suggested=msgspec.convert(payload.get(SUGGESTED), Suggested | None),
    )


def _comparisons(ranked: Sequence[Ranked], hits: Sequence[Hit]) -> dict[int, ChunkComparison]:
    """How each stood in its chunk, by `index`; a merged list keeps the order of every chunk."""
    chunks = defaultdict[int, list[Ranked]](list)
    for one in ranked:
        chunks[one.chunk].append(one)
    return {
        one.index: ChunkComparison(
            chunk=one.chunk + 1,
            place=place,
            size=len(chunk),
            score=one.comparison,
            null=one.null,
            ahead_of=hits[following[0].index].item.product_id if following else None,
            decided_by=_decisive(one, following[0]) if following else None,
        )
        for chunk in chunks.values()
        for place, one in enumerate(chunk, start=1)
        for following in [chunk[place : place + 1]]
    }


def _decisive(one: Ranked, other: Ranked) -> str | None:
    """The feature that speaks most for one candidate against another, if any does."""
    gains = {
        mine.feature: mine.contribution - theirs.contribution
        for mine, theirs in zip(one.why, other.why, strict=True)
    }
    best = max(gains, key=gains.__getitem__, default=None)
    return best if best is not None and gains[best] > 0 else None


def _patches(query: Juice, stored: bytes) -> PatchMatches | None:
    item = Juice.from_bytes(stored)
    pairs = matched_patches(query, item)
    return PatchMatches(grid=item.grid, pairs=pairs) if pairs else None
