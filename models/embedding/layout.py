"""The layout of an item's vector: identity, appearance and text.

Pailitao-VL embeds picture and text in one Matryoshka vector (arXiv 2602.13704 §4). Here they lie
side by side, so that either may be missing or change alone; and the picture has two parts, its
identity (trained to recognise products) and its appearance (principal axes of frozen features). The
parts are interleaved in blocks, so that each prefix of 64, 128, 256 or 512 values has its share of
all:

    | 32 identity | 16 appearance | 15 text | 1 missing |      64
    | 32 identity | 16 appearance | 16 text |                 128
    | 32 identity | 64 appearance | 32 text |                 256
    | 32 identity | 160 appearance | 64 text |                512

The picture weighs 0.8, shared evenly by identity and appearance, and the text 0.6. In an item that
lacks one, the value for what is missing makes the length 1; it is zero in queries. So the cosines
of items with and without text are comparable, and a query by picture alone ranks by pictures alone.

How much a query's parts count against each other (`PartWeights`) is decided for a catalog, by how
near its products are to those of training (`models.embedding.identity_library`); its items need not
be encoded again.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from models.arrays import Floats, unit
from models.errors import TextError

PREFIXES = (64, 128, 256, 512)
IDENTITY_PREFIXES = (32, 64, 96, 128)
APPEARANCE_PREFIXES = (16, 32, 96, 256)
TEXT_PREFIXES = (15, 31, 63, 127)
"""Values of each part in the prefixes; one more of each vector is for what is missing."""

DIM, IDENTITY_WIDTH = PREFIXES[-1], IDENTITY_PREFIXES[-1]
APPEARANCE_WIDTH, TEXT_WIDTH = APPEARANCE_PREFIXES[-1], TEXT_PREFIXES[-1]
PICTURE_WEIGHT, TEXT_WEIGHT = 0.8, 0.6

Indices = NDArray[np.intp]


@dataclass(frozen=True)
class PartWeights:
    """How much the parts of a query's vector count against each other.

    Attributes:
        identity: share of the identity in the picture's part, 0..1; the appearance has the rest.
            Both together count against the text as they always do.
    """

    identity: float = 0.5


AS_COMPOSED = PartWeights()
"""The weights that items are composed with."""


def compose_item(
    identity: Floats | None, appearance: Floats | None, text: Floats | None, *, dim: int = DIM
) -> Floats:
    """Put identity (128,), appearance (256,) and text (127,) into one vector (dim,) of length 1.

    Each is of length 1, or None where there is none. With a ``dim`` below 512 their prefixes are
    used, each scaled to length 1 again.
    """
    vector = np.zeros(dim, np.float32)
    half = np.float32(PICTURE_WEIGHT * np.sqrt(0.5))
    for part, indices in zip((identity, appearance), _indices(dim), strict=False):
        if part is not None:
            vector[indices] = half * unit(part[: len(indices)])
    return replace_text(vector, text)


def compose_query(
    identity: Floats | None,
    appearance: Floats | None,
    text: Floats | None,
    weights: PartWeights = AS_COMPOSED,
    *,
    dim: int = DIM,
) -> Floats:
    """The vector (dim,) of length 1 to search with; the parts as for `compose_item`.

    Raises:
        TextError: there is no part.
    """
    return query_for_item(compose_item(identity, appearance, None, dim=dim), text, weights)


def replace_text(item: Floats, text: Floats | None) -> Floats:
    """An item's vector (dim,) with another text (127,) of length 1, or none.

    The picture's part is stored as it is weighted, never scaled again, so that it can be used again
    bit for bit; the value for what is missing makes the length 1.
    """
    changed = _with_text(item, text)
    changed[_MISSING] = np.sqrt(max(0.0, 1.0 - float(changed @ changed)))
    return changed


def query_for_item(item: Floats, text: Floats | None, weights: PartWeights = AS_COMPOSED) -> Floats:
    """The vector (dim,) of length 1 to search with for an item's picture and another text (127,).

    Raises:
        TextError: the item has no picture, and there is no text.
    """
    query = _with_text(item, text)
    if not query.any():
        raise TextError("a query needs a picture, or a text with at least one word")
    query = unit(query)
    if weights == AS_COMPOSED:
        return query
    identity, appearance, _ = _indices(len(query))
    query[identity] *= np.float32(2 * weights.identity)
    query[appearance] *= np.float32(2 * (1 - weights.identity))
    return unit(query)


def identity_part(vectors: Floats) -> Floats:
    """The identities (…, 32 to 128) in vectors (…, dim), of length 1; zeros where there is none."""
    return unit(vectors[..., _indices(vectors.shape[-1])[0]])


def _with_text(item: Floats, text: Floats | None) -> Floats:
    """The item's picture part with a text, of any length; nothing where something is missing."""
    identity, appearance, of_text = _indices(len(item))
    changed = np.zeros_like(item)
    changed[identity], changed[appearance] = item[identity], item[appearance]
    if text is not None:
        changed[of_text] = TEXT_WEIGHT * unit(text[: len(of_text)])
    return changed


@cache
def _indices(dim: int) -> tuple[Indices, Indices, Indices]:
    """The indices of identity, appearance and text in a vector of one of the lengths."""
    widths = zip(IDENTITY_PREFIXES, APPEARANCE_PREFIXES, TEXT_PREFIXES, strict=True)
    indices: tuple[list[int], ...] = ([], [], [])
    start = 0
    for prefix, ends in zip(PREFIXES, widths, strict=True):
        if prefix > dim:
            break
        at = start
        for part, end in zip(indices, ends, strict=True):
            count = end - len(part)
            part.extend(range(at, at + count))
            at += count
        start = prefix
    identity, appearance, text = (np.array(part, np.intp) for part in indices)
    return identity, appearance, text


_MISSING = PREFIXES[0] - 1
