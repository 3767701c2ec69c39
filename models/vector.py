"""How picture, words and what is missing lie in one vector.

Pailitao-VL embeds picture and text in one Matryoshka vector (arXiv 2602.13704 §4); that the two
lie side by side, so that either may be missing or change alone, is ours. The parts are dealt out
in blocks, so that each prefix of 64, 128, 256 or 512 values holds its share of both:

    | 48 picture | 15 text | 1 missing | 48 picture | 16 text | 96 + 32 | 192 + 64 |

The picture weighs 0.8 and the text 0.6. An item without a text keeps its picture part at 0.8 and
puts the rest into the value for what is missing, which queries leave at zero: so items with and
without words are compared fairly, and a query by picture alone ranks by pictures alone.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

from models.errors import TextError
from models.juice import Floats
from models.juicer import unit

PREFIXES = (64, 128, 256, 512)
PICTURE_PREFIXES = (48, 96, 192, 384)
TEXT_PREFIXES = (15, 31, 63, 127)
"""How many values of picture and text the prefixes hold; one more is for what is missing."""

DIM, PICTURE_WIDTH, TEXT_WIDTH = PREFIXES[-1], PICTURE_PREFIXES[-1], TEXT_PREFIXES[-1]
PICTURE_WEIGHT, TEXT_WEIGHT = 0.8, 0.6


def assemble(picture: Floats | None, text: Floats | None, *, query: bool, dim: int = DIM) -> Floats:
    """Put picture (384,) and text (127,), each of length 1, into one vector (dim,) of length 1.

    With a ``dim`` below 512 their prefixes are used, each scaled to length 1 again. Raises
    TextError for a query that has neither.
    """
    vector = np.zeros(dim, np.float32)
    if picture is not None:
        pictured, _ = _places(dim)
        vector[pictured] = PICTURE_WEIGHT * unit(picture[: len(pictured)])
    return reworded(vector, text, query=query)


def reworded(vector: Floats, text: Floats | None, *, query: bool) -> Floats:
    """An item's vector (dim,) with another text (127,) of length 1, or none.

    An item's picture part is stored as it is weighted, never scaled again, so that it can be used
    again bit for bit; the value for what is missing makes the length 1. Raises TextError for an
    empty query.
    """
    pictured, worded = _places(len(vector))
    changed = np.zeros_like(vector)
    changed[pictured] = vector[pictured]
    if text is not None:
        changed[worded] = TEXT_WEIGHT * unit(text[: len(worded)])
    if not query:
        changed[_MISSING] = np.sqrt(max(0.0, 1.0 - float(changed @ changed)))
        return changed
    if not changed.any():
        raise TextError("a query needs a picture, or a text with at least one word")
    return unit(changed)


def shortened(vectors: Floats, dim: int) -> Floats:
    """The prefix of vectors (…, 512) that is ``dim`` long, of length 1 again."""
    return unit(vectors[..., :dim])


@cache
def _places(dim: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Where the picture's values and the text's lie in a vector of one of the lengths."""
    pictured: list[int] = []
    worded: list[int] = []
    start = 0
    for prefix, pictures, texts in zip(PREFIXES, PICTURE_PREFIXES, TEXT_PREFIXES, strict=True):
        if prefix > dim:
            break
        middle = start + pictures - len(pictured)
        pictured += range(start, middle)
        worded += range(middle, middle + texts - len(worded))
        start = prefix
    return np.array(pictured), np.array(worded)


_MISSING = PREFIXES[0] - 1
