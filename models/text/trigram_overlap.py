"""Lexical match of a query and titles by character trigrams, which survive typos.

Trigrams of padded words are weighted by their inverse document frequency among the candidates'
titles: what all of them share tells none apart.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

import numpy as np

from models.arrays import Floats
from models.text.minilm import normalise


def lexical_match(query: str, titles: Sequence[str]) -> Floats:
    """Weighted share of the query's trigrams that each title holds, float32 (titles,) in 0..1.

    NaN for an empty title; NaN everywhere for an empty query.
    """
    wanted = trigrams(query)
    of_titles = [trigrams(title) for title in titles]
    frequency = Counter(gram for grams in of_titles for gram in grams & wanted)
    # A fixed order of summing: sets have none, and replay needs the same bytes.
    weights = [(gram, math.log(1 + len(titles) / (1 + frequency[gram]))) for gram in sorted(wanted)]
    total = math.fsum(weight for _, weight in weights)
    match = [
        math.fsum(weight for gram, weight in weights if gram in grams) / total
        if grams and total
        else math.nan
        for grams in of_titles
    ]
    return np.array(match, dtype=np.float32)


def trigrams(text: str) -> frozenset[str]:
    """Trigrams of the normalised words, each word between spaces: "ox" gives " ox" and "ox "."""
    return frozenset(
        padded[start : start + 3]
        for padded in (f" {word} " for word in normalise(text).split())
        for start in range(len(padded) - 2)
    )
