"""Captions enriched with object classes: DataJuicer's text branch (arXiv 2503.14559).

The rules are ours, after VeCLIP's mixing (arXiv 2310.07699): a class is added when it is probable,
the caption has none of its synonyms, and it does not contradict the text.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import cache

import snowballstemmer

from models.text.folding import fold_text

MIN_PROBABILITY = 0.6
"""Probability from which a class may be added: two in three are right there, before those are left
out that the text contradicts."""

MAX_ADDED = 3
MAX_CHARACTERS = 400
"""Characters of the caption that are kept in the juice; the row keeps the whole text."""

_stemmer = snowballstemmer.stemmer("english")


def enrich_caption(
    caption: str,
    classes: Sequence[tuple[str, float]],
    fits: Callable[[str], bool],
) -> str:
    """Return "{caption}, featuring {classes}" with at most three classes, or the caption alone.

    ``classes`` are (label with synonyms, probability), most probable first; ``fits(label)`` says
    whether a class agrees with the item's text and category. Without a caption the result is the
    list of classes.
    """
    shortened = " ".join(caption.split())[:MAX_CHARACTERS].rstrip(" .,;")
    present = stems(caption)
    added: list[str] = []
    for label, probability in classes:
        names = synonyms(label)
        known = any(stems(name) <= present for name in names)
        if probability < MIN_PROBABILITY or known or not fits(label):
            continue
        added.append(names[0])
        present |= stems(names[0])
    if not added:
        return shortened
    listed = ", ".join(added[:MAX_ADDED])
    return f"{shortened}, featuring {listed}" if shortened else listed


def synonyms(label: str) -> list[str]:
    """The names in a label: "jersey, T-shirt, tee shirt" are three."""
    return [name.strip() for name in label.split(",")]


def stems(text: str) -> frozenset[str]:
    """The stems of a text's words, by Snowball's English rules."""
    return frozenset(_stem(word) for word in re.findall(r"\w+", fold_text(text)))


@cache
def _stem(word: str) -> str:
    return str(_stemmer.stemWord(word))
