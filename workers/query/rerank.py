"""From hits to an answer: one candidate per product, compared, calibrated, sorted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from index.item import Hit
from models.embedding.protocol import Encoded
from models.juicer.juice import Juice
from models.reranking.protocol import Candidate, ListReranker
from stream.messages import ResultItem


@dataclass(frozen=True)
class Answer:
    """Items best first, and the product ids in the order of retrieval."""

    items: tuple[ResultItem, ...]
    retrieved: tuple[str, ...]


def rank(
    query: Encoded, text: str | None, hits: Sequence[Hit], reranker: ListReranker, top: int
) -> Answer:
    """Rerank the hits and keep the `top` best.

    A product with several pictures is represented by the one most similar to the query. The order
    of the hits does not matter.
    """
    best: dict[str, Hit] = {}
    # The id breaks ties, so that the same hits always give the same list.
    for hit in sorted(hits, key=lambda hit: (-hit.similarity, hit.item.item_id)):
        best.setdefault(hit.item.product_id, hit)
    retrieved = list(best.values())
    ranked = reranker.rerank(
        query,
        text,
        [
            Candidate(
                item_id=hit.item.item_id,
                similarity=hit.similarity,
                juice=Juice.from_bytes(hit.item.juice),
                title=hit.item.payload["title"],
            )
            for hit in retrieved
        ],
    )
    return Answer(
        items=tuple(
            _result_item(retrieved[one.index], one.score, one.level, position)
            for position, one in enumerate(ranked[:top], start=1)
        ),
        retrieved=tuple(hit.item.product_id for hit in retrieved[:top]),
    )


def _result_item(hit: Hit, score: float, level: int, position: int) -> ResultItem:
    payload, offer = hit.item.payload, hit.item.offer
    return ResultItem(
        product_id=hit.item.product_id,
        item_id=hit.item.item_id,
        score=score,
        level=level,
        position=position,
        title=payload["title"],
        category=tuple(payload["category"]),
        image=payload["image"],
        caption=payload["caption"],
        price=offer.get("price"),
        currency=offer.get("currency"),
        in_stock=offer.get("in_stock"),
        attributes=offer.get("attributes"),
    )
