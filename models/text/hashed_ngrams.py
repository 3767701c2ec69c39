"""Hashed character n-grams, which survive typos (feature hashing, Weinberger et al. 2009).

A query mistyped in one letter keeps most of its trigrams, and a brand in no vocabulary has as many
of them as a common word. Buckets and signs come from CRC-32, so they are the same in every process
and on every machine.
"""

from __future__ import annotations

import re
import zlib
from collections import defaultdict

import numpy as np

from models.arrays import Floats
from models.text.minilm import normalise

BUCKETS = 4096
NGRAM_LENGTHS = (3,)
"""With longer ones too, more words are told apart and fewer mistyped ones found."""

POSITION_DECAY = 4
"""Words after which the weight is half: the title comes first, and a long description would drown
it."""

_WORD = re.compile(r"\w+")


def ngrams(text: str) -> dict[str, float]:
    """The weight of each trigram of the normalised words, with "^" and "$" around each word.

    The ends count as characters, so that the shortest word has a trigram: "l" gives "^l$". A word
    at position p, from 0, weighs 1 / (1 + p / 4).
    """
    weights: defaultdict[str, float] = defaultdict(float)
    for position, word in enumerate(_WORD.findall(normalise(text))):
        padded = f"^{word}$"
        for length in NGRAM_LENGTHS:
            for start in range(len(padded) - length + 1):
                weights[padded[start : start + length]] += 1 / (1 + position / POSITION_DECAY)
    return dict(weights)


def hash_ngrams(text: str, buckets: int = BUCKETS) -> Floats:
    """The text's trigrams, float32 (buckets,) of length 1; zeros for a text without words.

    Each counts the root of its weight, with a sign of its own, so that those in one bucket cancel
    as often as they add.
    """
    row = np.zeros(buckets, np.float32)
    # A fixed order of summing: replay needs the same bytes.
    for gram, weight in sorted(ngrams(text).items()):
        code = zlib.crc32(gram.encode())
        row[code % buckets] += weight**0.5 * (1 if code >> 31 else -1)
    length = np.sqrt(row @ row)
    return row / length if length > 0 else row
