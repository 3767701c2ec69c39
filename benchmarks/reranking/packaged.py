"""What the packaged reranker says of lists, asked as the query worker asks it."""

from __future__ import annotations

import numpy as np

from benchmarks.reranking.averaged import Scores
from benchmarks.reranking.comparisons import Comparisons
from benchmarks.reranking.lists import DEPTH
from benchmarks.reranking.match_tables import Rows, Tables
from models.arrays import Doubles
from models.embedding.layout import PartWeights, query_for_item
from models.embedding.protocol import Encoded
from models.reranking.linear import Reranker
from models.reranking.protocol import Candidate


def scores_of_linear(
    reranker: Reranker, found: Comparisons, tables: Tables, asked: Rows, nearest: Rows
) -> tuple[Scores, Doubles]:
    """What it says of queries by picture, and the probability of each that it is none, (n,).

    Args:
        asked: numbers of the queries in ``found``.
        nearest: the items that are their candidates, in retrieval order, (n, DEPTH); -1 in the
            padding.
    """
    identity, appearance, colour = (float(share) for share in tables.shares)
    weights = PartWeights(identity, appearance, colour)
    above = np.full((len(asked), DEPTH), -np.inf, np.float32)
    levels, none = np.zeros((len(asked), DEPTH, 4), np.float32), []
    for row, (number, items) in enumerate(zip(asked.tolist(), nearest.tolist(), strict=True)):
        query = found.queries[number]
        encoded = Encoded(query_for_item(query.vector, None, weights), query.juice, weights)
        candidates = [
            Candidate(
                str(at),
                float(found.items[at].vector @ encoded.vector),
                found.items[at].juice,
                found.titles[at],
            )
            for at in items
            if at >= 0
        ]
        ranked = reranker.rerank(encoded, None, candidates)
        places = [one.index for one in ranked]
        above[row, places] = [one.comparison - one.null for one in ranked]
        levels[row, places] = [one.probabilities for one in ranked]
        none.append(reranker.none_of_these(ranked))
    return Scores(above, levels), np.array(none)
