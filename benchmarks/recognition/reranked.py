"""Exams as they are served: what retrieval found, put in order by the reranker."""

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
from models.training.embedding.feature_cache import ViewStore

CANDIDATES = 100
BATCH = 16


def juices(
    task: RetrievalTask,
    store: ViewStore,
    encoder: ItemEncoder,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> dict[int, Juice]:
    """What the pictures of an exam are judged by, by their rows in its store."""
    rows = np.union1d(task.query_rows, task.document_rows).tolist()
    found: dict[int, Juice] = {}
    for start in range(0, len(rows), BATCH):
        some = rows[start : start + BATCH]
        pictures = [open_picture(Path(store.sources[row].path)) for row in some]
        made = encoder.encode_items(pictures, [None] * len(some))
        found |= {row: one.juice for row, one in zip(some, made, strict=True)}
        progress(len(found), len(rows))
    return found


def reranked(
    task: RetrievalTask,
    similarity: Floats,
    weights: PartWeights,
    juice: Mapping[int, Juice],
    reranker: Reranker,
) -> dict[str, float]:
    """The hit rates, 0..1, of the nearest documents as the reranker orders them.

    Args:
        exam: whose queries and documents these are.
        similarity: cosines (queries, documents).
        weights: of the queries' parts, which decide by what the reranker judges.
        juice: of all its pictures, see `juices`.
        reranker: of the same encoder as the juice.
    """
    nearest = np.argsort(-similarity, axis=1, kind="stable")[:, :CANDIDATES]
    ordered: list[Rows] = []
    for row, asked, places in zip(similarity, task.query_rows, nearest, strict=True):
        candidates = [
            Candidate(str(place), float(row[place]), juice[int(task.document_rows[place])])
            for place in places
        ]
        query = Encoded(np.zeros(1, np.float32), juice[int(asked)], weights)
        ranked = reranker.rerank(query, None, candidates)
        ordered.append(places[[one.index for one in ranked]])
    return task.hit_rates(np.stack(ordered))
