"""A catalog's matches as tables: every query with every item, and every item with every other.

Lists of any part of the catalog, weighed in any way, are looked up in them; so training sees more
catalogs than there are, and each step takes milliseconds.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

import msgspec
import numpy as np
from numpy.typing import NDArray

from benchmarks.reranking.comparisons import Comparisons
from benchmarks.reranking.matches import (
    PAIR,
    Matches,
    among_items,
    describe,
    listed,
    match,
    shares_of,
)
from models.arrays import Floats
from models.catalog.folder import Product
from models.embedding.layout import (
    PICTURE_PARTS,
    PICTURE_WEIGHT,
    TEXT_WEIGHT,
    PartWeights,
    replace_text,
    text_part,
)
from models.embedding.protocol import SearchEncoder
from models.evaluation.metrics import Levels
from models.text.trigram_overlap import lexical_match
from models.training.reranker.ranking_lists import synthetic_query

Rows = NDArray[np.intp]
IDENTITY = PAIR.index("identity")
OF_WORDS = [PAIR.index(one) for one in ("words", "sentence", "lexical")]
OF_PICTURE = [at for at in range(1, len(PAIR)) if at not in OF_WORDS]


@dataclass(frozen=True, eq=False)
class Tables:
    """Tables of q queries and n items; half precision where they are large.

    Attributes:
        pair: (q, n, features), with both the picture's features and those of words.
        in_query: (q, n, k).
        in_others: (n, k, n).
        among: (n, n, 3).
        levels: (q, n).
        products: the item that each query shows, (q,).
        splits: (q,).
        shares: how much identity, appearance and colour count, (3,).
        has_identity: not where the identity was trained on these products: it is left out then.
    """

    name: str
    pair: Floats
    in_query: Floats
    in_others: Floats
    among: Floats
    levels: Levels
    products: Rows
    splits: NDArray[np.str_]
    shares: Floats
    has_identity: bool = True

    def similarity(self, queries: Rows, modality: str) -> Floats:
        """Cosines of retrieval, (len(queries), n)."""
        part = (PICTURE_WEIGHT**2) / PICTURE_PARTS
        words = np.nan_to_num(self.pair[queries, :, PAIR.index("words")].astype(np.float32))
        if modality == "text":
            return TEXT_WEIGHT * words
        weights = PICTURE_PARTS * self.shares
        cosines = np.nan_to_num(self.pair[queries, :, 1:4].astype(np.float32))
        found = part * cosines @ weights
        length = part * float(weights @ weights)
        if modality == "both":
            found, length = found + TEXT_WEIGHT**2 * words, length + TEXT_WEIGHT**2
        cosines_of: Floats = (found / np.sqrt(length)).astype(np.float32)
        return cosines_of

    def lists(
        self,
        queries: Rows,
        modality: str,
        depth: int = 50,
        allowed: NDArray[np.bool_] | None = None,
    ) -> tuple[Floats, Levels, Rows]:
        """Features (b, depth, f), levels and items (b, depth) of queries, in retrieval order.

        ``allowed`` says which items each query may find, (b, n); at least ``depth``.
        """
        cosines = self.similarity(queries, modality)
        if allowed is not None:
            cosines = np.where(allowed, cosines, -2.0)
        items = np.argsort(-cosines, axis=1, kind="stable")[:, :depth]
        b = np.arange(len(queries))[:, None]
        pair = self.pair[queries[:, None], items].astype(np.float32)
        pair[..., 0] = cosines[b, items]
        if modality == "text":
            pair[..., OF_PICTURE] = np.nan
        if modality == "picture":
            pair[..., OF_WORDS] = np.nan
        if not self.has_identity:
            pair[..., IDENTITY] = np.nan
        features = listed(
            Matches(
                pair,
                self.in_query[queries[:, None], items].astype(np.float32),
                np.stack([self.in_others[one][:, :, one] for one in items]).astype(np.float32),
                np.stack([self.among[np.ix_(one, one)] for one in items]).astype(np.float32),
                np.broadcast_to(self.shares, (len(queries), 3)),
            )
        )
        return features, self.levels[queries[:, None], items], items


def tables_of(
    encoder: SearchEncoder,
    found: Comparisons,
    *,
    queries: Rows | None = None,
    weights: PartWeights | None = None,
    seed: int = 0,
) -> Tables:
    """The tables of a catalog; its queries get words of their product, some mistyped.

    Args:
        encoder, found: the catalog and what encoded it.
        queries: the numbers of those wanted, all by default.
        weights: of the queries' parts, by default what the encoder gives the catalog; without
            identity, as if it had not been trained on these products.
        seed: of the words.
    """
    chosen = np.arange(len(found.queries)) if queries is None else queries
    rng = random.Random(seed)
    texts = [
        synthetic_query(Product(product_id="x", title=title, category=category), rng)
        for title, category in zip(found.titles, found.categories, strict=True)
    ]
    words = encoder.encode_items([None] * len(texts), texts)
    vectors = np.stack([one.vector for one in found.items])
    items = describe(vectors, [one.juice for one in found.items])
    pairs, in_query = [], []
    for number in chosen.tolist():
        query, product = found.queries[number], int(found.products[number])
        text = texts[product]
        described = describe(
            replace_text(query.vector, text_part(words[product].vector))[None],
            [msgspec.structs.replace(query.juice, text_matrix=words[product].juice.text_matrix)],
        )
        pair, best = match(
            described,
            np.zeros(len(items), np.float32),
            lexical_match(text, found.titles),
            items,
        )
        pairs.append(pair.astype(np.float16))
        in_query.append(best.astype(np.float16))
    in_others, among = among_items(items)
    used = weights or encoder.part_weights(vectors)
    return Tables(
        found.name,
        np.stack(pairs),
        np.stack(in_query),
        in_others.astype(np.float16),
        among.astype(np.float32),
        found.levels[chosen],
        found.products[chosen],
        np.array(found.splits)[chosen],
        shares_of(used),
        used.identity > 0,
    )
