"""Hits ranked, and how each is explained by the candidates it was compared with."""

from typing import Any

from index.item import Hit, Item
from models.juicer.juice import Juice
from models.reranking.protocol import Contribution, Ranked
from tests.doubles.colours import ColourEncoder
from workers.query.rerank import rank

CONTRIBUTIONS = {"a": (0.5, 0.1), "b": (0.2, 0.4), "c": (0.2, 0.4), "d": (0.0, 0.0)}
"""Of shape and colour."""


class TwoChunks:
    """Compares a with b, and c with d, and merges them by turns."""

    note = version = ""

    def rerank(self, *_: Any, **__: Any) -> list[Ranked]:
        return [ranked("a", 0, 0), ranked("c", 2, 1), ranked("b", 1, 0), ranked("d", 3, 1)]

    def none_of_these(self, *_: Any) -> float:
        return 0.0


def ranked(product: str, index: int, chunk: int) -> Ranked:
    parts = CONTRIBUTIONS[product]
    return Ranked(
        index=index,
        score=0.5,
        level=0,
        probabilities=(0.5, 0.5, 0.0, 0.0),
        comparison=sum(parts),
        null=0.3,
        chunk=chunk,
        why=tuple(map(Contribution, ("shape", "colour"), parts, parts)),
    )


def hit(product: str) -> Hit:
    payload: dict[str, Any] = {"title": product, "category": [], "image": None, "caption": ""}
    juice = Juice(grid=(1, 1)).to_bytes()
    item = Item(
        item_id=f"{product}#0",
        product_id=product,
        prototype=0,
        vector=None,
        payload=payload,
        offer={},
        juice=juice,
    )
    return Hit(item, 0.9)


def test_who_stood_behind_whom_in_a_chunk_and_by_what() -> None:
    [query] = ColourEncoder().encode_queries([None], ["mug"])
    hits = [hit(product) for product in CONTRIBUTIONS]
    explained = [one.compared for one in rank(query, "mug", hits, TwoChunks(), explain=True)]
    assert [
        one and (one.chunk, one.place, one.size, one.ahead_of, one.decided_by) for one in explained
    ] == [
        (1, 1, 2, "b", "shape"),
        (2, 1, 2, "d", "colour"),
        (1, 2, 2, None, None),
        (2, 2, 2, None, None),
    ]
    assert [one and round(one.score - one.null, 1) for one in explained] == [0.3, 0.3, 0.3, -0.3]
    assert {one.compared for one in rank(query, "mug", hits, TwoChunks())} == {None}
