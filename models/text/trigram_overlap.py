"""Lexical match of a query and titles by character trigrams, which survive typos.

Trigrams of padded words are weighted by their inverse document frequency among the candidates'
titles: what all of them share tells none apart. Where a script has no spaces, pairs of characters
stand for trigrams.
"""

from __future__ import annotations

import math
import unicodedata
from collections import Counter
from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from models.arrays import Floats
from models.text.folding import fold_letters, grams_of_run, letter_runs
from models.text.minilm import normalise

MIN_MATCH = 0.2
"""Share of the query that the best title holds at least, unless they are in two languages.

Of queries in English to English titles 5 % are below with all kinds of typos, of those in German,
French, Spanish and Polish 27 to 94 % (titles of `lookstream bench text`).
"""


def lexical_match(query: str, titles: Sequence[str]) -> Floats:
    """Weighted share of the query's trigrams that each title holds, float32 (titles,) in 0..1.

    A title is asked for those trigrams only that are in a script of its own: of "Arla 有机牛奶" an
    English title can hold the brand. NaN where nothing can be said: for an empty title or query,
    for a title in other scripts than the query, and everywhere where no title holds `MIN_MATCH` of
    the query, which is then in another language, or means the same by other words.
    """
    wanted = trigrams(query)
    of_titles = [trigrams(title) for title in titles]
    frequency = Counter(gram for grams in of_titles for gram in grams & wanted)
    # A fixed order of summing: sets have none, and replay needs the same bytes.
    weights = [
        (gram, _script(gram), math.log(1 + len(titles) / (1 + frequency[gram])))
        for gram in sorted(wanted)
    ]
    match = np.array([_share(weights, grams) for grams in of_titles], dtype=np.float32)
    known = match[~np.isnan(match)]
    return match if known.size and known.max() >= MIN_MATCH else np.full_like(match, np.nan)


def _share(weights: Sequence[tuple[str, str, float]], grams: frozenset[str]) -> float:
    """The share of the weights that a title's trigrams have, of those in its scripts; or NaN."""
    scripts = {_script(gram) for gram in grams}
    asked = [(gram, weight) for gram, script, weight in weights if script in scripts]
    total = math.fsum(weight for _, weight in asked)
    return (
        math.fsum(weight for gram, weight in asked if gram in grams) / total if total else math.nan
    )


def trigrams(text: str) -> frozenset[str]:
    """Trigrams of the normalised words, each word between spaces: "ox" gives " ox" and "ox ".

    Without accents; the ending of an English plural is cut off on both sides of a comparison, so
    that a word of another language loses nothing by it.
    """
    return frozenset(gram for word in normalise(text).split() for gram in _grams_of_word(word))


def _grams_of_word(word: str) -> list[str]:
    runs = [word] if word.isascii() else letter_runs(fold_letters(word))
    return [gram for run in runs for gram in grams_of_run(run, " ", " ")]


@lru_cache(maxsize=65536)
def _script(gram: str) -> str:
    """The script of its first letter, as Unicode's names begin with it; "" for digits alone."""
    letters = (unicodedata.name(one, "") for one in gram if one.isalpha())
    return next(letters, "").partition(" ")[0]
