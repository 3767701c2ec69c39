"""Retrieval tasks as they are served: the nearest documents, reranked."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from benchmarks.recognition.retrieval_tasks import RetrievalTask, Rows
from models.arrays import Floats
from models.embedding.layout import PartWeights
from models.embedding.protocol import Encoded, ItemEncoder
from models.images.files import open_picture
from models.juicer.juice import Juice
from models.reranking.linear import Candidate, Reranker
from models.training.embedding.feature_cache import FeatureCache

CANDIDATES = 100
BATCH = 16


def juice_of(
    task: RetrievalTask,
    cache: FeatureCache,
    encoder: ItemEncoder,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> dict[int, Juice]:
    """The juice of a task's pictures, by their rows in the cache."""
    rows = np.union1d(task.query_rows, task.document_rows).tolist()
    found: dict[int, Juice] = {}
    for start in range(0, len(rows), BATCH):
        some = rows[start : start + BATCH]
        pictures = [open_picture(Path(cache.sources[row].path)) for row in some]
        encoded = encoder.encode_items(pictures, [None] * len(some))
        found |= {row: one.juice for row, one in zip(some, encoded, strict=True)}
        progress(len(found), len(rows))
    return found


def reranked_rates(
    task: RetrievalTask,
    similarity: Floats,
    weights: PartWeights,
    juice: Mapping[int, Juice],
    reranker: Reranker,
) -> dict[str, float]:
    """Hit rates, 0..1, of the `CANDIDATES` nearest documents in the reranker's order.

    Args:
        task: the queries and documents.
        similarity: cosines (queries, documents).
        weights: of the queries' parts, which choose the reranker's parameters.
        juice: of all pictures, see `juice_of`.
        reranker: for the encoder that the juice is of.
    """
    nearest = np.argsort(-similarity, axis=1, kind="stable")[:, :CANDIDATES]
    ordered: list[Rows] = []
    for cosines, row, documents in zip(similarity, task.query_rows, nearest, strict=True):
        candidates = [
            Candidate(str(one), float(cosines[one]), juice[int(task.document_rows[one])])
            for one in documents
        ]
        query = Encoded(np.zeros(1, np.float32), juice[int(row)], weights)
        ranked = reranker.rerank(query, None, candidates)
        ordered.append(documents[[one.index for one in ranked]])
    return task.hit_rates(np.stack(ordered))
