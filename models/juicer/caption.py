"""Weaving object classes into captions: DataJuicer's text branch (arXiv 2503.14559).

The rules are ours, after VeCLIP's mixing (arXiv 2310.07699): a class is added when the picture is
sure of it, the caption lacks it in every synonym, and it does not contradict what the text says.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import cache

import snowballstemmer

from models.text.minilm import plain

CONFIDENT = 0.6
"""Probability from which a class may be woven in: two in three are right there, and what the text
contradicts is left out still."""

MOST = 3
LONGEST = 400
"""Characters of the caption that are kept in the juice; the row keeps the whole text."""

_stemmer = snowballstemmer.stemmer("english")


def weave(
    caption: str,
    classes: Sequence[tuple[str, float]],
    fits: Callable[[str], bool],
) -> str:
    """Return "{caption}, featuring {classes}" with at most three classes, or the caption alone.

    ``classes`` are (label with synonyms, probability), surest first; ``fits(label)`` says whether
    a class agrees with the item's text and category. Without a caption the classes stand alone.
    """
    said = " ".join(caption.split())[:LONGEST].rstrip(" .,;")
    present = stems(caption)
    added: list[str] = []
    for label, probability in classes:
        names = synonyms(label)
        known = any(stems(name) <= present for name in names)
        if probability < CONFIDENT or known or not fits(label):
            continue
        added.append(names[0])
        present |= stems(names[0])
    if not added:
        return said
    listed = ", ".join(added[:MOST])
    return f"{said}, featuring {listed}" if said else listed


def synonyms(label: str) -> list[str]:
    """The names in a label: "jersey, T-shirt, tee shirt" are three."""
    return [name.strip() for name in label.split(",")]


def stems(text: str) -> frozenset[str]:
    """The stems of a text's words, by Snowball's English rules."""
    return frozenset(_stem(word) for word in re.findall(r"\w+", plain(text)))


@cache
def _stem(word: str) -> str:
    return str(_stemmer.stemWord(word))
