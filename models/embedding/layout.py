"""How what is known of an item lies in one vector.

Pailitao-VL embeds picture and text in one Matryoshka vector (arXiv 2602.13704 §4). Here they lie
side by side, so that either may be missing or change alone; and the picture is there twice, as the
product it was recognised for (its identity, learned) and as what it looks like (principal axes,
learned from nothing). The parts are dealt out in blocks, so that each prefix of 64, 128, 256 or 512
values holds its share of all:

    | 32 identity | 16 look | 15 text | 1 missing |      64
    | 32 identity | 16 look | 16 text |                 128
    | 32 identity | 64 look | 32 text |                 256
    | 32 identity | 160 look | 64 text |                512

The picture weighs 0.8, shared evenly by identity and look, and the text 0.6. An item that lacks one
puts the rest into the value for what is missing, which queries leave at zero: so items with and
without words are compared fairly, and a query by picture alone ranks by pictures alone.

How much a query's identity counts against its look is settled when it is asked (`weigh_identity`),
by how well the encoder knows the catalog (`models.embedding.identity_library`); no item has to
change for it.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

from models.arrays import Floats, unit
from models.errors import TextError

PREFIXES = (64, 128, 256, 512)
IDENTITY_PREFIXES = (32, 64, 96, 128)
APPEARANCE_PREFIXES = (16, 32, 96, 256)
TEXT_PREFIXES = (15, 31, 63, 127)
"""How many values of each part the prefixes hold; one more is for what is missing."""

DIM, IDENTITY_WIDTH = PREFIXES[-1], IDENTITY_PREFIXES[-1]
APPEARANCE_WIDTH, TEXT_WIDTH = APPEARANCE_PREFIXES[-1], TEXT_PREFIXES[-1]
PICTURE_WEIGHT, TEXT_WEIGHT = 0.8, 0.6

Places = NDArray[np.intp]


def compose(
    identity: Floats | None,
    appearance: Floats | None,
    text: Floats | None,
    *,
    query: bool,
    dim: int = DIM,
) -> Floats:
    """Put identity (128,), look (256,) and text (127,) into one vector (dim,) of length 1.

    Each is of length 1, or None where there is none. With a ``dim`` below 512 their prefixes are
    used, each scaled to length 1 again. Raises TextError for a query that has none of them.
    """
    vector = np.zeros(dim, np.float32)
    for part, places in zip((identity, appearance), _places(dim), strict=False):
        if part is not None:
            half = np.float32(PICTURE_WEIGHT * np.sqrt(0.5))
            vector[places] = half * unit(part[: len(places)])
    return replace_text(vector, text, query=query)


def replace_text(vector: Floats, text: Floats | None, *, query: bool) -> Floats:
    """An item's vector (dim,) with another text (127,) of length 1, or none.

    An item's picture part is stored as it is weighted, never scaled again, so that it can be used
    again bit for bit; the value for what is missing makes the length 1. Raises TextError for an
    empty query.
    """
    identity, appearance, worded = _places(len(vector))
    changed = np.zeros_like(vector)
    changed[identity], changed[appearance] = vector[identity], vector[appearance]
    if text is not None:
        changed[worded] = TEXT_WEIGHT * unit(text[: len(worded)])
    if not query:
        changed[_MISSING] = np.sqrt(max(0.0, 1.0 - float(changed @ changed)))
        return changed
    if not changed.any():
        raise TextError("a query needs a picture, or a text with at least one word")
    return unit(changed)


def weigh_identity(query: Floats, identity_weight: float) -> Floats:
    """A query's vector (dim,) with its identity counting by ``identity_weight``, 0..1, its look by
    the rest; as it came from `compose` at ½. How both together count against words stays the
    same."""
    identity, appearance, _ = _places(len(query))
    weighed = query.copy()
    weighed[identity] *= np.float32(2 * identity_weight)
    weighed[appearance] *= np.float32(2 * (1 - identity_weight))
    return unit(weighed)


def identity_part(vectors: Floats) -> Floats:
    """The identities (…, 32 to 128) in vectors (…, dim), of length 1; zeros where there is none."""
    return unit(vectors[..., _places(vectors.shape[-1])[0]])


def shortened(vectors: Floats, dim: int) -> Floats:
    """The prefix of vectors (…, 512) that is ``dim`` long, of length 1 again."""
    return unit(vectors[..., :dim])


@cache
def _places(dim: int) -> tuple[Places, Places, Places]:
    """Where identity, look and text lie in a vector of one of the lengths."""
    widths = zip(IDENTITY_PREFIXES, APPEARANCE_PREFIXES, TEXT_PREFIXES, strict=True)
    places: tuple[list[int], ...] = ([], [], [])
    start = 0
    for prefix, ends in zip(PREFIXES, widths, strict=True):
        if prefix > dim:
            break
        at = start
        for part, end in zip(places, ends, strict=True):
            count = end - len(part)
            part.extend(range(at, at + count))
            at += count
        start = prefix
    identity, appearance, text = (np.array(part, np.intp) for part in places)
    return identity, appearance, text


_MISSING = PREFIXES[0] - 1
