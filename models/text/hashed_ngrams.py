"""Hashed character n-grams, which survive typos (feature hashing, Weinberger et al. 2009).

A query mistyped in one letter keeps most of its trigrams, and a brand in no vocabulary has as many
of them as a common word. Buckets and signs come from CRC-32, so they are the same in every process
and on every machine.
"""

from __future__ import annotations

import re
import zlib
from collections import defaultdict
from collections.abc import Iterable, Mapping

import numpy as np

from models.arrays import Floats
from models.text.folding import fold_letters, grams_of_run, letter_runs
from models.text.minilm import normalise

BUCKETS = 4096
POSITION_DECAY = 4
"""Words after which the weight is half: the title comes first, and a long description would drown
it."""

_WORD = re.compile(r"\w+")


def ngrams(text: str) -> dict[str, float]:
    """The weight of each n-gram of a text in any language, without accents.

    Trigrams with "^" and "$" around each word; pairs of characters where words need no space
    between (Chinese, Japanese, Korean). No ending is cut off: each language has its own, and most
    trigrams of a word are those of its plural. A word at position p, from 0, weighs
    1 / (1 + p / 4).
    """
    runs = letter_runs(fold_letters(text))
    return _weigh(grams_of_run(run, "^", "$") for run in runs)


def english_ngrams(text: str) -> dict[str, float]:
    """As `ngrams`, of words that `normalise` makes singular: trigrams in any script, with accents.

    The ends count as characters, so that the shortest word has a trigram: "l" gives "^l$".
    """
    return _weigh(_grams_of_word(word) for word in _WORD.findall(normalise(text)))


def _grams_of_word(word: str) -> list[str]:
    """Its trigrams with "^" and "$"."""
    padded = f"^{word}$"
    return [padded[start : start + 3] for start in range(len(padded) - 2)]


def _weigh(grams_of_words: Iterable[list[str]]) -> dict[str, float]:
    weights: defaultdict[str, float] = defaultdict(float)
    for position, grams in enumerate(grams_of_words):
        for gram in grams:
            weights[gram] += 1 / (1 + position / POSITION_DECAY)
    return dict(weights)


def hash_ngrams(grams: Mapping[str, float], buckets: int = BUCKETS) -> Floats:
    """A text's n-grams, float32 (buckets,) of length 1; zeros for a text without words.

    Each counts the root of its weight, with a sign of its own, so that those in one bucket cancel
    as often as they add.
    """
    row = np.zeros(buckets, np.float32)
    # A fixed order of summing: replay needs the same bytes.
    for gram, weight in sorted(grams.items()):
        code = zlib.crc32(gram.encode())
        row[code % buckets] += weight**0.5 * (1 if code >> 31 else -1)
    length = np.sqrt(row @ row)
    return row / length if length > 0 else row
