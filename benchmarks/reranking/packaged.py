"""Lists in the order of the packaged reranker, asked as the query worker asks it."""

from __future__ import annotations

import numpy as np

from benchmarks.reranking.comparisons import Comparisons
from benchmarks.reranking.lists import DEPTH
from benchmarks.reranking.match_tables import Rows, Tables
from benchmarks.reranking.measures import Judged
from models.arrays import Doubles
from models.embedding.layout import PartWeights, query_for_item
from models.embedding.protocol import Encoded
from models.evaluation.metrics import relevant_counts
from models.reranking.linear import Reranker
from models.reranking.protocol import Candidate


def judged_by_linear(
    reranker: Reranker, found: Comparisons, tables: Tables, asked: Rows, *, taken: bool
) -> tuple[Judged, Doubles]:
    """Lists of queries by picture, and the probability of each that it is none.

    Args:
        asked: numbers of the queries in ``found``.
        taken: whether their products are taken away.
    """
    identity, appearance, colour = (float(share) for share in tables.shares)
    weights = PartWeights(identity, appearance, colour)
    items = np.stack([one.vector for one in found.items])
    ranks, probabilities, none = [], [], []
    for number in asked.tolist():
        query = found.queries[number]
        encoded = Encoded(query_for_item(query.vector, None, weights), query.juice, weights)
        cosines = items @ encoded.vector
        allowed = np.flatnonzero(found.levels[number] != 0) if taken else np.arange(len(items))
        nearest = allowed[np.argsort(-cosines[allowed], kind="stable")[:DEPTH]]
        ranked = reranker.rerank(
            encoded,
            None,
            [
                Candidate(str(at), float(cosines[at]), found.items[at].juice, found.titles[at])
                for at in nearest.tolist()
            ],
        )
        levels = np.full(DEPTH, 3, np.int8)
        levels[: len(ranked)] = found.levels[number][nearest[[one.index for one in ranked]]]
        rows = np.zeros((DEPTH, 4), np.float32)
        rows[: len(ranked)] = [one.probabilities for one in ranked]
        ranks.append(levels)
        probabilities.append(rows)
        none.append(reranker.none_of_these(ranked))
    judged = Judged(
        np.stack(ranks),
        relevant_counts(found.levels[asked]),
        found.products[asked],
        np.stack(probabilities),
    )
    return judged, np.array(none)
