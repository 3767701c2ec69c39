"""A reranker that needs no fit: retrieval's order, and probabilities by the ratio test.

Cosines of two encoders are distributed differently, so a fitted reranker serves the encoder it was
fitted on. What carries over is a candidate's distance against those of the others in its list:
Lowe's ratio test (IJCV 2004, §7.1) with the median of the list in place of the second neighbour,
and the margin over the best other candidate beside it. `LEVELS` makes probabilities of both.

It was fitted once for all, on lists of lite2 and lite0, weighed as each encoder does, by identity
and by appearance alone: 606 queries by picture, by text and by both to five catalogs of 20 to 280
products. With the catalog and the encoder that are measured left out of the fit, the Brier score of
the first product's score was .15 by picture, .07 by text and .11 by both; that of the fitted
rerankers is .19, .14 and .10 on the same lists. In a large catalog all of a list is similar to the
query, and scores are too low rather than too high.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from models.arrays import Floats
from models.embedding.protocol import Encoded
from models.reranking.calibration import LevelModel
from models.reranking.no_match import none_by_probabilities
from models.reranking.protocol import Candidate, Contribution, Ranked

NEAREST = 1e-3
"""Cosine distance below which two vectors count as equally near."""

LEVELS = LevelModel(
    mean=(0.0254, -0.396),
    scale=(0.1189, 0.2610),
    weights=((0.6748, 3.0221), (0.1634, -0.8558), (-0.4464, -0.9121), (-0.3917, -1.2541)),
    bias=(-6.2823, 2.3048, 2.3085, 1.6689),
)
"""Of -log(distance / median distance) and its margin."""


class SimilarityReranker:
    """A `ListReranker` without parameters of its own; may be shared between threads."""

    version = "similarity-1"

    def __init__(self, note: str) -> None:
        self.note = note

    def rerank(
        self,
        query: Encoded,
        query_text: str | None,
        candidates: Sequence[Candidate],
        *,
        explain: bool = False,
    ) -> list[Ranked]:
        """All candidates in the order of retrieval, with the probability of each level.

        `comparison` is the similarity, and `null` that of the list's median candidate. With
        `explain`, the similarity contributes what it is above that one.
        """
        if not candidates:
            return []
        similarities = np.array([one.similarity for one in candidates], np.float32)
        null = background(similarities)
        probabilities = LEVELS.probabilities(ratios(similarities)[None, :, None])[0]
        return [
            Ranked(
                index=index,
                score=float(row[0]),
                level=int(row.argmax()),
                probabilities=tuple(row.tolist()),
                comparison=float(similarity),
                null=null,
                why=(Contribution("similarity", float(similarity), float(similarity) - null),)
                if explain
                else (),
            )
            for index, (row, similarity) in enumerate(zip(probabilities, similarities, strict=True))
        ]

    def none_of_these(self, ranked: Sequence[Ranked]) -> float:
        """By the candidates' probabilities: nothing was learned of what none looks like."""
        return none_by_probabilities(ranked)


def background(similarities: Floats) -> float:
    """The similarity (-1..1) of what is not meant: the median of a list; 0 of a list of one."""
    return float(np.median(similarities)) if len(similarities) > 1 else 0.0


def ratios(similarities: Floats) -> Floats:
    """The feature, (n,): -log of the ratio of each cosine distance to the background's."""
    distances = np.maximum(1 - similarities, NEAREST)
    found: Floats = -np.log(distances / max(1 - background(similarities), NEAREST))
    return found.astype(np.float32)
