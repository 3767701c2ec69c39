"""Hashed character n-grams: what survives a typo.

A query mistyped in one letter keeps most of its trigrams, and a brand no network ever read has as
many of them as a common word. Buckets and signs come from CRC-32, so they are the same in every
process and on every machine.
"""

from __future__ import annotations

import re
import zlib
from collections import defaultdict

import numpy as np

from models.arrays import Floats
from models.text.minilm import normalise

BUCKETS = 4096
LENGTHS = (3,)
"""Longer ones as well tell more words apart and leave less of a mistyped one: found less."""

FADING = 4
"""Words: the fifth counts half as much as the first. What a product is stands in its
title, and the title stands first; a long description would drown it."""

_WORD = re.compile(r"\w+")


def ngrams(text: str) -> dict[str, float]:
    """How much each trigram is in the normalised words, with "^" and "$" around each word.

    The ends count as characters, so that the shortest word has a trigram: "l" gives "^l$". A word
    at place p, from 0, counts 1 / (1 + p / 4).
    """
    found: defaultdict[str, float] = defaultdict(float)
    for place, word in enumerate(_WORD.findall(normalise(text))):
        padded = f"^{word}$"
        for length in LENGTHS:
            for start in range(len(padded) - length + 1):
                found[padded[start : start + length]] += 1 / (1 + place / FADING)
    return dict(found)


def hashed(text: str, buckets: int = BUCKETS) -> Floats:
    """The text's trigrams, float32 (buckets,) of length 1; zeros for a text without words.

    Each counts the root of how much there is of it, with a sign of its own, so that those that
    share a bucket cancel as often as they add.
    """
    row = np.zeros(buckets, np.float32)
    # A fixed order of summing: replay needs the same bytes.
    for gram, much in sorted(ngrams(text).items()):
        code = zlib.crc32(gram.encode())
        row[code % buckets] += much**0.5 * (1 if code >> 31 else -1)
    length = np.sqrt(row @ row)
    return row / length if length > 0 else row
