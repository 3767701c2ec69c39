"""The input and output of a reranker."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from models.embedding.protocol import Encoded
from models.juicer.juice import Juice


class ListReranker(Protocol):
    """Orders a query's candidates.

    `note` is a sentence about its scores; "" where it was fitted on the encoder that it serves.
    `version` is equal for equal scores; "" for one that a catalog does not calibrate by its own
    evidence (`models.reranking.catalog_shift`).
    """

    note: str
    version: str

    def rerank(
        self,
        query: Encoded,
        query_text: str | None,
        candidates: Sequence[Candidate],
        *,
        explain: bool = False,
    ) -> list[Ranked]:
        """All candidates, which come in retrieval order, best first; `explain` asks for `why`."""

    def none_of_these(self, ranked: Sequence[Ranked]) -> float:
        """How probable it is, 0..1, that none of one list is the very product."""


@dataclass(frozen=True)
class Candidate:
    """One retrieved item: `similarity` is the cosine of its vector with the query's, -1..1.

    `image` is where its picture lies, for rerankers that look at it; None without any. `digest`
    changes with it.
    """

    item_id: str
    similarity: float
    juice: Juice
    title: str = ""
    image: str | None = None
    digest: str = ""


@dataclass(frozen=True, slots=True)
class Contribution:
    """What one feature adds to a candidate's comparative score.

    `value` is the feature itself, None where it is not known; `contribution` is 0 for the value
    that candidates had on average where the reranker was fitted.
    """

    feature: str
    value: float | None
    contribution: float


@dataclass(frozen=True, slots=True)
class Ranked:
    """One candidate of a ranked list.

    Attributes:
        index: its position among the given candidates, from 0.
        score: r = P(level 0), calibrated, 0..1. The list is not sorted by it alone.
        level: the most probable level, 0..3.
        probabilities: of the levels 0..3, summing to 1.
        comparison: s, comparable within its chunk only.
        null: s_NULL of its chunk; a `comparison` below it means "not this one".
        chunk: the number of its chunk, from 0.
        why: what each feature contributed to `comparison`, if that was asked for.
        by_words: whether a reranker that looks at pictures had none of this one.
    """

    index: int
    score: float
    level: int
    probabilities: tuple[float, ...]
    comparison: float
    null: float
    chunk: int = 0
    why: tuple[Contribution, ...] = ()
    by_words: bool = False
