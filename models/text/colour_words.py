"""Colour words in English texts.

The eleven basic colour terms (Berlin and Kay 1969), and the other single words among the 160
commonest names of the xkcd colour survey (2010, CC0) and of clothes.
"""

from __future__ import annotations

import re

from models.text.folding import fold_text

COLOUR_WORDS = frozenset(
    [
        "black",
        "white",
        "grey",
        "gray",
        "red",
        "green",
        "blue",
        "yellow",
        "brown",
        "orange",
        "pink",
        "purple",
        "teal",
        "magenta",
        "violet",
        "turquoise",
        "lavender",
        "tan",
        "cyan",
        "aqua",
        "mauve",
        "maroon",
        "olive",
        "salmon",
        "beige",
        "lilac",
        "peach",
        "periwinkle",
        "lime",
        "indigo",
        "mustard",
        "navy",
        "gold",
        "silver",
        "plum",
        "burgundy",
        "khaki",
        "taupe",
        "chartreuse",
        "mint",
        "rust",
        "crimson",
        "fuchsia",
        "cream",
        "ivory",
        "coral",
        "azure",
        "charcoal",
        "bronze",
        "copper",
        "camel",
    ]
)
"""Some of them are also fruit and metals: what learns from them must find out which they are."""

_SPELLINGS = {"gray": "grey"}


def colour_words(text: str) -> tuple[str, ...]:
    """The colours that a text names, each once, in its order; "gray" is "grey"."""
    words = re.findall(r"\w+", fold_text(text))
    found = (_SPELLINGS.get(word, word) for word in words if word in COLOUR_WORDS)
    return tuple(dict.fromkeys(found))
