"""What a query and its candidates have in common, and the candidates among each other.

All comes from vectors and juice that are stored with the items; no picture is opened. `PAIR` are
features of one candidate by itself. `LISTED` depend on the other candidates of the list, for what
is like the query tells nothing where all candidates are like it:

- candidate_maxsim: mean over the candidate's tokens of their largest cosine with a token of the
  query (late interaction, ColBERT, Khattab and Zaharia 2020), of the best third, each weighted by
  how little other candidates have of it, as an inverse document frequency within the list;
- list_maxsim: mean MaxSim of the candidate's tokens with those of the other candidates;
- density: mean similarity with its five nearest candidates, parts weighed as the query's are;
- reciprocal: share of the other candidates that are nearer to it than the query is (k-reciprocal
  neighbours, Qin et al. 2011);
- excess: similarity above that density (local scaling, Jégou et al. 2007; CSLS, Conneau et al.
  2018): what is near to everything is a hub.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.arrays import Floats, unit
from models.embedding.layout import PartWeights, picture_parts, text_part
from models.juicer.juice import Juice
from models.juicer.packed_matrix import PackedMatrix
from models.reranking.features import dense

PAIR = (
    "similarity",
    "identity",
    "appearance",
    "colour",
    "words",
    "colours",
    "sentence",
    "lexical",
    "query_maxsim",
    "query_maxsim_all",
    "mutual",
    "mutual_share",
    "best_token",
    "fused",
    "classes",
)
LISTED = ("candidate_maxsim", "list_maxsim", "density", "reciprocal", "excess")
FEATURES = PAIR + LISTED
THIRD = 3
NEAREST = 5


@dataclass(frozen=True, eq=False)
class Described:
    """Items or queries as arrays (n, …), zeros where something is missing.

    Attributes:
        parts: identity, appearance, colour and words, each (n, width) of rows of length 1.
        tokens: (n, k, d) of length 1.
        colours: the juice's, (n, c).
        sentences: (n, s).
        classes: probability by class.
    """

    parts: tuple[Floats, Floats, Floats, Floats]
    tokens: Floats
    colours: Floats
    sentences: Floats
    classes: tuple[dict[str, float], ...]

    def __len__(self) -> int:
        return len(self.tokens)


def describe(vectors: Floats, juices: Sequence[Juice]) -> Described:
    """Describe items by their vectors (n, dim) and juices.

    Raises:
        RerankerError: the juices were made by different models.
    """
    return Described(
        parts=(*picture_parts(vectors), text_part(vectors)),
        tokens=_unit_rows([juice.token_matrix for juice in juices]),
        colours=_unit_rows([juice.colour_matrix for juice in juices])[:, 0],
        sentences=_unit_rows([juice.text_matrix for juice in juices])[:, 0],
        classes=tuple(dict(juice.classes) for juice in juices),
    )


@dataclass(frozen=True, eq=False)
class Matches:
    """How candidates match a query and each other.

    Attributes:
        pair: (…, n, len(PAIR)), NaN where not known.
        in_query: the largest cosine of each of their tokens with the query's, (…, n, k).
        in_others: of each of their tokens with those of each candidate, (…, n, k, n).
        among: similarity of the candidates by part, (…, n, n, 3).
        shares: how much identity, appearance and colour count, (…, 3).
    """

    pair: Floats
    in_query: Floats
    in_others: Floats
    among: Floats
    shares: Floats


def shares_of(weights: PartWeights) -> Floats:
    """How much identity, appearance and colour count, summing to 1, (3,)."""
    shares = np.array([weights.identity, weights.appearance, weights.colour], np.float32)
    return shares / max(float(shares.sum()), 1e-9)


def match(
    query: Described, similarity: Floats, lexical: Floats | None, items: Described
) -> tuple[Floats, Floats]:
    """Of one query with n items: `Matches.pair` (n, features) and `Matches.in_query` (n, k).

    Args:
        query: one.
        similarity: of retrieval, (n,).
        lexical: overlap of the query's words with titles, (n,); None without words.
    """
    n = len(items)
    pair = np.full((n, len(PAIR)), np.nan, np.float32)
    pair[:, 0] = similarity
    for column, (one, others) in enumerate(zip(query.parts, items.parts, strict=True), start=1):
        pair[:, column] = _cosines(one[0], others)
    pair[:, 5] = _cosines(query.colours[0], items.colours)
    pair[:, 6] = _cosines(query.sentences[0], items.sentences)
    if lexical is not None:
        pair[:, 7] = lexical
    in_query = np.zeros(items.tokens.shape[:2], np.float32)
    if query.tokens.any() and items.tokens.any():
        pair[:, 8:14], in_query = _late_interaction(query.tokens[0], items.tokens)
        if query.classes[0]:
            pair[:, 14] = [_shared(query.classes[0], other) for other in items.classes]
    return pair, in_query


def _late_interaction(query: Floats, items: Floats) -> tuple[Floats, Floats]:
    """Columns 8 to 13 of `PAIR` (n, 6), and the largest cosine of each item's token (n, k)."""
    n, k, d = items.shape
    cosines = (items.reshape(n * k, d) @ query.T).reshape(n, k, len(query))
    there: NDArray[np.bool_] = np.any(items, axis=2)
    cosines = np.where(there[:, :, None], cosines, -1.0)
    in_query, in_item = cosines.max(axis=2), cosines.max(axis=1)
    third = -(-in_item.shape[1] // THIRD)
    best = np.sort(in_item, axis=1)
    # Tokens that choose each other.
    mutual = (cosines == in_query[:, :, None]) & (cosines == in_item[:, None, :])
    count = mutual.sum(axis=(1, 2))
    found = np.stack(
        [
            best[:, -third:].mean(axis=1),
            in_item.mean(axis=1),
            (mutual * cosines).sum(axis=(1, 2)) / np.maximum(count, 1),
            count / in_item.shape[1],
            best[:, -1],
            items[:, -1] @ query[-1],
        ],
        axis=1,
    )
    found[~np.any(there, axis=1)] = np.nan
    return found.astype(np.float32), in_query.astype(np.float32)


def among_items(items: Described) -> tuple[Floats, Floats]:
    """Of n items: `Matches.in_others` (n, k, n) and `Matches.among` (n, n, 3)."""
    n, k, d = items.tokens.shape
    flat = items.tokens.reshape(n * k, d)
    in_others = np.full((n * k, n), -np.inf, np.float32)
    for token in range(k):  # of each other item at once: maxima of whole arrays are quick
        np.maximum(in_others, flat @ items.tokens[:, token].T, out=in_others)
    among = np.stack([part @ part.T for part in items.parts[:3]], axis=-1)
    return in_others.reshape(n, k, n), among


def listed(matches: Matches) -> Floats:
    """All `FEATURES` of lists, (…, n, features): what is known of pairs, and `LISTED`."""
    in_query, n = matches.in_query, matches.pair.shape[-2]
    others = ~np.eye(n, dtype=bool)
    number = max(n - 1, 1)
    in_others = (matches.in_others * others[:, None, :]).sum(axis=-1) / number
    third = -(-in_query.shape[-1] // THIRD)
    least = np.sort(in_query, axis=-1)[..., -third][..., None]
    weights = np.where(in_query >= least, np.maximum(1 - in_others, 1e-3), 0.0)
    candidate = (weights * in_query).sum(axis=-1) / weights.sum(axis=-1)
    near = (matches.among * matches.shares[..., None, None, :]).sum(axis=-1)
    to_query = np.nansum(matches.pair[..., 1:4] * matches.shares[..., None, :], axis=-1)
    reciprocal = ((near > to_query[..., None]) & others).sum(axis=-1) / number
    nearest = np.sort(np.where(others, near, -1.0), axis=-1)[..., -min(NEAREST, number) :]
    density = nearest.mean(axis=-1)
    added = np.stack(
        [candidate, in_others.mean(axis=-1), density, reciprocal, to_query - density], axis=-1
    )
    # Without a picture on either side nothing of this is known.
    unknown = np.isnan(matches.pair[..., PAIR.index("appearance")])
    added[unknown] = np.nan
    added[..., 0][np.isnan(matches.pair[..., PAIR.index("query_maxsim")])] = np.nan
    features: Floats = np.concatenate([matches.pair, added], axis=-1).astype(np.float32)
    return features


def _shared(one: dict[str, float], other: dict[str, float]) -> float:
    return sum(min(share, other[name]) for name, share in one.items() if name in other)


def _cosines(one: Floats, others: Floats) -> Floats:
    """NaN where either is missing."""
    if one.shape[-1] == 0 or others.shape[-1] == 0:
        return np.full(len(others), np.nan, np.float32)
    found = others @ one
    missing: NDArray[np.bool_] = ~np.any(others, axis=1)
    found[missing | (not one.any())] = np.nan
    return found


def _unit_rows(matrices: Sequence[PackedMatrix]) -> Floats:
    """Matrices as one array (n, rows, width) of rows of length 1; zeros where absent."""
    values = dense(matrices)[: len(matrices)]
    count, rows, width = values.shape
    return unit(values) if rows else np.zeros((count, 1, width), np.float32)
