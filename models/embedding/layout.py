"""The layout of an item's vector: identity, appearance, colour and text.

Pailitao-VL embeds picture and text in one Matryoshka vector (arXiv 2602.13704 §4). Here they lie
side by side, so that either may be missing or change alone; and the picture has three parts, its
identity (trained to recognise products), its appearance (frozen features) and its colour. The parts
are interleaved in blocks, so that each prefix of 64, 128, 256, 512 or 768 values has its share of
all. Vectors of 1152 and 1536 values go on with the appearance alone, of networks whose embeddings
are wider than 384 values:

    | 32 identity |   8 appearance |  8 colour | 15 text | 1 missing |     64
    | 32 identity |   8 appearance |  8 colour | 16 text |                128
    | 32 identity |  48 appearance | 16 colour | 32 text |                256
    | 32 identity | 128 appearance | 32 colour | 64 text |                512
    |               192 appearance | 64 colour |                          768
    |               384 appearance |                                     1152
    |               384 appearance |                                     1536

The picture weighs 0.8, shared evenly by its parts, and the text 0.6. In an item that lacks one, the
value for what is missing makes the length 1; it is zero in queries. So the cosines of items with
and without text are comparable, and a query by picture alone ranks by pictures alone. A part of
fewer values than its place leaves the rest zero.

Where the network reads words as well, a query by words alone has an appearance too: what it means
in the space of the pictures (`query_for_words`, `models.embedding.words_to_pictures`).

How much a query's parts count against each other (`PartWeights`) is decided for a catalog, by its
own evidence (`models.embedding.part_weights`); its items need not be encoded again.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from models.arrays import Floats, unit
from models.embedding.query_map import QueryMap
from models.embedding.words_to_pictures import WordsToPictures
from models.errors import TextError

PREFIXES = (64, 128, 256, 512, 768, 1152, 1536)
IDENTITY_PREFIXES = (32, 64, 96, 128, 128, 128, 128)
APPEARANCE_PREFIXES = (8, 16, 64, 192, 384, 768, 1152)
COLOUR_PREFIXES = (8, 16, 32, 64, 128, 128, 128)
TEXT_PREFIXES = (15, 31, 63, 127, 127, 127, 127)
"""Values of each part in the prefixes; one more of each vector is for what is missing."""

DIM, IDENTITY_WIDTH, APPEARANCE_WIDTH = 768, IDENTITY_PREFIXES[-1], 384
"""Of the packaged encoders."""
COLOUR_WIDTH, TEXT_WIDTH = COLOUR_PREFIXES[-1], TEXT_PREFIXES[-1]
PICTURE_WEIGHT, TEXT_WEIGHT = 0.8, 0.6
PICTURE_PARTS = 3

Indices = NDArray[np.intp]


@dataclass(frozen=True)
class PictureParts:
    """What a picture gives: each part of length 1, or None where the encoder has none.

    Attributes:
        identity: (128,).
        appearance: (384,), or as wide as the network's embedding, at most 1152.
        colour: (128,).
    """

    identity: Floats | None
    appearance: Floats | None
    colour: Floats | None

    def __iter__(self) -> Iterator[Floats | None]:
        """The parts in the order of the layout."""
        return iter((self.identity, self.appearance, self.colour))


NO_PICTURE = PictureParts(None, None, None)


@dataclass(frozen=True)
class PartWeights:
    """How much the parts of a query's vector count against each other, each 0 or more.

    Only the ratios of the picture's parts count: together they weigh against the text as they
    always do, times ``text``.

    Attributes:
        identity, appearance, colour: of the picture.
        text: of the words, 1 for as much as items have of them.
        query_map: what was learned from a catalog (`models.embedding.adapt`), applied after the
            weights; None without one.
        words: how a query's words are compared with the pictures of a catalog, by an encoder of
            both; None before anything is known of its pictures.
    """

    identity: float = 1 / 3
    appearance: float = 1 / 3
    colour: float = 1 / 3
    text: float = 1.0
    query_map: QueryMap | None = None
    words: WordsToPictures | None = None

    @classmethod
    def with_identity(cls, share: float) -> PartWeights:
        """The weights fitted over catalogs left out, where the identity has this share, 0..1.

        Appearance counts twice as much as colour, and six times as much where there is no
        identity, which makes up for the kinds that colour misleads about (decision 23).
        """
        colour = (1 - share) * (1 / 3 if share else 1 / 7)
        return cls(identity=share, appearance=1 - share - colour, colour=colour)

    @property
    def recognised(self) -> bool:
        """Whether the identity counts more than the picture's other parts together."""
        return self.identity > self.appearance + self.colour


PRIOR_IDENTITY = 0.25
"""Share of the identity in a catalog whose products the encoder was not trained on."""

AS_COMPOSED = PartWeights()
"""The weights that items are composed with."""


def compose_item(parts: PictureParts, text: Floats | None, *, dim: int = DIM) -> Floats:
    """Put a picture's parts and a text (127,) into one vector (dim,) of length 1.

    The text is of length 1, or None where there is none. With a ``dim`` that does not hold all of
    the parts their prefixes are used, each scaled to length 1 again.
    """
    vector = np.zeros(dim, np.float32)
    for part, indices in zip(parts, _indices(dim), strict=False):
        if part is not None:
            cut = part[: len(indices)]
            vector[indices[: len(cut)]] = _PART_WEIGHT * unit(cut)
    return replace_text(vector, text)


def compose_query(
    parts: PictureParts,
    text: Floats | None,
    weights: PartWeights = AS_COMPOSED,
    *,
    dim: int = DIM,
) -> Floats:
    """The vector (dim,) of length 1 to search with; the parts as for `compose_item`.

    Raises:
        TextError: there is no part.
    """
    return query_for_item(compose_item(parts, None, dim=dim), text, weights)


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
    if weights == AS_COMPOSED:
        return unit(query)
    *of_picture, of_text = _indices(len(query))
    shares = (weights.identity, weights.appearance, weights.colour)
    for indices, share in zip(of_picture, shares, strict=True):
        query[indices] *= np.float32(PICTURE_PARTS * share / sum(shares))
    query[of_text] *= np.float32(weights.text)
    picture = picture_indices(len(query))
    if weights.query_map is not None and query[picture].any():
        query[picture] = weights.query_map(query[picture])
    return unit(query)


def query_for_words(
    appearance: Floats, text: Floats, weights: PartWeights = AS_COMPOSED, *, dim: int = DIM
) -> Floats:
    """The vector (dim,) of length 1 to search with for words that the picture's network reads too.

    Args:
        appearance: the words in the space of the pictures' appearances, of length 1.
        text: the text's part (127,), of length 1.
        weights: of which those of text and ``words`` count.
        dim: of the vector.
    """
    query = np.zeros(dim, np.float32)
    _, of_appearance, _, of_text = _indices(dim)
    words = weights.words or WordsToPictures()
    as_text = words.as_text(unit(text[: len(of_text)]))
    query[of_text] = np.float32(TEXT_WEIGHT * weights.text) * as_text
    # An item's text weighs .6, and each part of its picture .46.
    share = np.float32(TEXT_WEIGHT**2) / _PART_WEIGHT
    query[of_appearance] = share * words.as_picture(appearance_block(appearance, dim))
    query[_MISSING] = words.lacking * TEXT_WEIGHT**2 / _LACKING_TEXT
    return unit(query)


def appearance_block(appearances: Floats, dim: int) -> Floats:
    """Appearances (…, k) as vectors of ``dim`` values have them, of length 1."""
    width = len(_indices(dim)[1])
    block = np.zeros((*appearances.shape[:-1], width), np.float32)
    kept = appearances[..., :width]
    block[..., : kept.shape[-1]] = kept
    return unit(block)


def text_part(vectors: Floats) -> Floats:
    """The texts (…, 15 to 127) in vectors (…, dim), of length 1; zeros where there is none."""
    return unit(vectors[..., _indices(vectors.shape[-1])[-1]])


def identity_part(vectors: Floats) -> Floats:
    """The identities (…, 32 to 128) in vectors (…, dim), of length 1; zeros where there is none."""
    return unit(vectors[..., _indices(vectors.shape[-1])[0]])


def picture_parts(vectors: Floats) -> tuple[Floats, Floats, Floats]:
    """Identities, appearances and colours in vectors (…, dim), of length 1; zeros where none."""
    identity, appearance, colour, _ = _indices(vectors.shape[-1])
    return unit(vectors[..., identity]), unit(vectors[..., appearance]), unit(vectors[..., colour])


@cache
def picture_indices(dim: int) -> Indices:
    """Where a vector of this length has its picture: identity, then appearance, then colour."""
    return np.concatenate(_indices(dim)[:-1])


def _with_text(item: Floats, text: Floats | None) -> Floats:
    """The item's picture part with a text, of any length; nothing where something is missing."""
    changed = np.zeros_like(item)
    picture = picture_indices(len(item))
    changed[picture] = item[picture]
    if text is not None:
        of_text = _indices(len(item))[-1]
        changed[of_text] = TEXT_WEIGHT * unit(text[: len(of_text)])
    return changed


@cache
def _indices(dim: int) -> tuple[Indices, Indices, Indices, Indices]:
    """The indices of identity, appearance, colour and text in a vector of one of the lengths."""
    widths = zip(
        IDENTITY_PREFIXES, APPEARANCE_PREFIXES, COLOUR_PREFIXES, TEXT_PREFIXES, strict=True
    )
    indices: tuple[list[int], ...] = ([], [], [], [])
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
    identity, appearance, colour, text = (np.array(part, np.intp) for part in indices)
    return identity, appearance, colour, text


_MISSING = PREFIXES[0] - 1
_PART_WEIGHT = np.float32(PICTURE_WEIGHT / np.sqrt(PICTURE_PARTS))
"""Of each part of an item's picture."""
_LACKING_TEXT = float(
    np.sqrt(1 - 2 * _PART_WEIGHT**2) - np.sqrt(1 - 2 * _PART_WEIGHT**2 - TEXT_WEIGHT**2)
)
"""By how much the value for what is missing is larger in an item that lacks a text than in one that
lacks an identity alone; for one that lacks a picture it is nearly the same."""
