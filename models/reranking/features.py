"""The features of each candidate, which the reranker weighs.

All come from juice stored with the items, no picture is opened. Within a chunk the features of a
candidate depend on the others, as in one forward pass of a listwise model (Pailitao-VL, arXiv
2602.13704v2, §5.1); the features are ours, after late interaction (MaxSim of ColBERT, Khattab and
Zaharia 2020) and the measurements in the reranker's card:

- similarity: cosine of the vectors, from retrieval;
- candidate_maxsim: mean over the candidate's tokens of their largest cosine with a token of the
  query. Tokens are weighted by how little the other candidates of the chunk resemble them, as an
  inverse document frequency within the chunk;
- query_maxsim: the same over the query's tokens, without weights. On both sides only the third of
  the tokens that match best counts, because a photo is cluttered and shows one side of a product;
- chunk_maxsim: mean MaxSim of the candidate's tokens with the rest of the chunk: candidates of one
  category support each other;
- colour, text: cosines of the colour descriptors and of the sentence vectors;
- lexical: overlap of the query text's trigrams with the title's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.arrays import Floats, unit
from models.errors import RerankerError
from models.juicer.juice import Juice
from models.juicer.packed_matrix import PackedMatrix, turn
from models.reranking.chunks import Chunks
from models.reranking.protocol import Candidate
from models.text.trigram_overlap import lexical_match

FEATURES = (
    "similarity",
    "candidate_maxsim",
    "query_maxsim",
    "chunk_maxsim",
    "colour",
    "text",
    "lexical",
)

BEST_SHARE = 3
"""One token in so many counts, those that match best.

I-HR@1 of retrieval, with all of the candidate's tokens, and with the best third: on 824 grocery
photos .477, .493, .510; on crops of clothing photos .725, .765, .779.
"""


def collect_features(
    query: Juice, query_text: str | None, candidates: Sequence[Candidate], chunks: Chunks
) -> Floats:
    """Features (chunks, size, features), in the order of FEATURES.

    NaN where a feature is missing (no picture, no text, padding).

    Raises:
        RerankerError: a candidate's tokens or vectors have another width than the query's.
    """
    flat = np.full((len(candidates) + 1, len(FEATURES)), np.nan, dtype=np.float32)
    juices = [candidate.juice for candidate in candidates]
    flat[:-1, 0] = [candidate.similarity for candidate in candidates]
    flat[:-1, 4] = _cosines(query.colour_matrix, [juice.colour_matrix for juice in juices])
    flat[:-1, 5] = _cosines(query.text_matrix, [juice.text_matrix for juice in juices])
    if query_text:
        flat[:-1, 6] = lexical_match(query_text, [candidate.title for candidate in candidates])
    features = flat[chunks]  # ABSENT is the last row, NaN throughout
    tokens = _Tokens.stack([juice.token_matrix for juice in juices])
    if query.has_picture and tokens.present.any():
        features[..., 1:4] = _late_interaction(_Tokens.stack([query.token_matrix]), tokens, chunks)
    return features


@dataclass(frozen=True, eq=False)
class _Tokens:
    """Tokens of several juices: unit rows (n + 1, k, d), `present` (n + 1, k).

    The last juice is empty: ABSENT in a chunk array indexes it.
    """

    rows: Floats
    present: NDArray[np.bool_]

    @staticmethod
    def stack(matrices: Sequence[PackedMatrix]) -> _Tokens:
        rows = unit(dense(matrices, turned=True))
        counts = np.array([matrix.shape[0] for matrix in matrices] + [0])
        present: NDArray[np.bool_] = np.arange(rows.shape[1]) < counts[:, None]
        return _Tokens(rows, present)


def _late_interaction(query: _Tokens, candidates: _Tokens, chunks: Chunks) -> Floats:
    """MaxSim of candidate, query and chunk, (chunks, size, 3)."""
    if query.rows.shape[2] != candidates.rows.shape[2]:
        raise RerankerError(
            f"the query's tokens are {query.rows.shape[2]} wide, the candidates' "
            f"{candidates.rows.shape[2]}: they were juiced by different models; reindex the catalog"
        )
    rows, present = candidates.rows[chunks], candidates.present[chunks]
    count, size, k, width = rows.shape
    has_tokens: NDArray[np.bool_] = present.sum(axis=2) > 0
    # The axis that a maximum is taken over comes first: numpy then compares whole rows at once.
    asked = query.rows[0]
    cosines = (asked @ rows.reshape(-1, width).T).reshape(-1, count, size, k)
    in_query = np.where(present, cosines.max(axis=0), -1.0)
    if not present.all():
        cosines[:, ~present] = -1.0
    query_best = cosines.transpose(3, 0, 1, 2).max(axis=0)
    query_best = np.sort(query_best, axis=0)[-_third(len(asked)) :]

    flat = rows.reshape(count, size * k, width)
    by_token = rows.transpose(0, 2, 1, 3).reshape(count, k * size, width)
    pairwise = (by_token @ flat.transpose(0, 2, 1)).reshape(count, k, size, size, k)
    if not present.all():
        pairwise.transpose(0, 2, 1, 3, 4)[~present] = -1.0
    maxsim = pairwise.max(axis=1)  # with each other candidate, (count, others, size, k)
    others = has_tokens[:, None, :] & ~np.eye(size, dtype=bool)
    number = others.sum(axis=2)
    in_others = (maxsim * others.transpose(0, 2, 1)[..., None]).sum(axis=1)
    in_others /= np.maximum(number, 1)[..., None]
    least = np.sort(in_query, axis=2)[..., -_third(k)][..., None]
    weights = np.where(present & (in_query >= least), np.maximum(1.0 - in_others, 1e-3), 0.0)

    query_maxsim = np.where(has_tokens, query_best.mean(axis=0), np.nan)
    with np.errstate(invalid="ignore"):  # 0 / 0 without tokens: the feature is missing, NaN
        candidate_maxsim = (weights * in_query).sum(axis=2) / weights.sum(axis=2)
        chunk_maxsim = (present * in_others).sum(axis=2) / (present.sum(axis=2) * (number > 0))
    return np.stack([candidate_maxsim, query_maxsim, chunk_maxsim], axis=2)


def _third(count: int) -> int:
    return -(-count // BEST_SHARE)


def _cosines(query: PackedMatrix, others: Sequence[PackedMatrix]) -> Floats:
    """Cosine of one vector with each of the others, NaN where either is missing."""
    known = [at for at, other in enumerate(others) if other.shape[0]]
    cosines = np.full(len(others), np.nan, dtype=np.float32)
    if query.shape[0] and known:
        rows = unit(dense([query, *(others[at] for at in known)]))[:-1, 0]
        cosines[known] = rows[1:] @ rows[0]
    return cosines


def dense(matrices: Sequence[PackedMatrix], *, turned: bool = False) -> Floats:
    """Matrices as one array (n + 1, rows, width), up to the scale of each; zeros where absent.

    ``turned`` leaves those of 4 bits as they are stored, turned, and turns those of 8: cosines are
    the same, and a catalog's tokens need no work.

    Raises:
        RerankerError: they are of different widths.
        JuiceError: one lacks values.
    """
    width = max((matrix.shape[1] for matrix in matrices), default=0)
    height = max((matrix.shape[0] for matrix in matrices), default=0)
    values = np.zeros((len(matrices) + 1, height, width), dtype=np.float32)
    for at, matrix in enumerate(matrices):
        if matrix.shape[0] == 0:
            continue
        if matrix.shape[1] != width:
            raise RerankerError(
                f"juice of widths {matrix.shape[1]} and {width} cannot be compared: it was made by "
                "different models; reindex the catalog"
            )
        values[at, : matrix.shape[0]] = matrix.codes()
    others = [at for at, matrix in enumerate(matrices) if (matrix.bits == 4) != turned]
    if others:
        values[others] = values[others] @ (turn(width) if turned else turn(width).T)
    return values
