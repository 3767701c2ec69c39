"""Training sets of fewer pixels or fewer samples: juiced, sieved, or drawn at random.

Juicing (DataJuicer, arXiv 2503.14559) works inside each sample: a photo is cropped towards the box
of its product, as far as that is sure, and brought down to a share of its pixels. Sieving keeps the
samples whose picture and text agree most (CLIPScore filtering), random choice is what both must be
ahead of. What a sample costs is its pixels, so that a share means the same for all three.

How far a picture agrees with words (ours): where one network reads both, the cosine of the two;
else that of the words and the mean of the names of the picture's classes, weighed by their
probability (ConSE, Norouzi et al. 2014, arXiv 1312.5650).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import StrEnum

import msgspec
import numpy as np
from PIL import Image

from models.arrays import Box, Floats, unit
from models.embedding.protocol import Encoded, SearchEncoder
from models.images.letterbox import Picture

MARGIN = 0.05
"""Of the picture, around the box of its product: a patch is a ninth of it."""
MIN_SIDE = 32
"""Pixels; a picture is not made smaller."""


class Way(StrEnum):
    """How a training set becomes smaller."""

    JUICE = "juice"
    SIEVE = "sieve"
    RANDOM = "random"


class Sample(msgspec.Struct, frozen=True, kw_only=True):
    """What was found out about one photo.

    Attributes:
        image: the photo's reference in the folder that was read.
        agreement: of picture and text, -1..1; 0 where there is no text.
        box: of the product, in shares of width and height; all where none is sure.
        text: the caption, enhanced by juicing.
        raw_text: the caption as it was.
        pixels, juiced_pixels: of the photo, and of what was written for it (0: nothing was).
    """

    image: str
    agreement: float = 0.0
    box: Box = (0.0, 0.0, 1.0, 1.0)
    text: str = ""
    raw_text: str = ""
    pixels: int = 0
    juiced_pixels: int = 0


def crop_to_juice(picture: Picture, box: Box, keep: float) -> Picture:
    """The part of a picture around a box, and at most a share of its pixels.

    Half of the pixels that go are what lies around the product, half are detail: the part has at
    least √keep of the picture's area, so that a generous budget crops little, and no box that is
    too small takes more away than the budget asks for (`benchmarks.juicing.training`).

    Args:
        picture: uint8 (h, w, 3).
        box: x0, y0, x1, y1, relative, 0 to 1.
        keep: of the pixels, above 0 to 1.
    """
    height, width = picture.shape[:2]
    x0, y0, x1, y1 = _grown(box, keep**0.5)
    left, right = _at_least(x0, x1, width)
    top, bottom = _at_least(y0, y1, height)
    part = picture[top:bottom, left:right]
    scale = (keep * height * width / (part.shape[0] * part.shape[1])) ** 0.5
    if scale >= 1:
        return np.ascontiguousarray(part)
    size = [max(min(MIN_SIDE, side), int(side * scale)) for side in (right - left, bottom - top)]
    shrunk = Image.fromarray(part).resize((size[0], size[1]), Image.Resampling.LANCZOS)
    return np.asarray(shrunk)


def _grown(box: Box, area: float) -> Box:
    """The box with its margin, and further around its middle as far as the picture reaches, until
    it has at least this share of the picture's area."""
    x0, y0 = max(0.0, box[0] - MARGIN), max(0.0, box[1] - MARGIN)
    x1, y1 = min(1.0, box[2] + MARGIN), min(1.0, box[3] + MARGIN)
    wide, high = x1 - x0, y1 - y0
    if wide * high >= area:
        return x0, y0, x1, y1
    wide = min(1.0, wide * (area / (wide * high)) ** 0.5)
    high = min(1.0, area / wide)
    wide = min(1.0, area / high)
    left = min(max(0.0, (x0 + x1 - wide) / 2), 1 - wide)
    top = min(max(0.0, (y0 + y1 - high) / 2), 1 - high)
    return left, top, left + wide, top + high


def _at_least(low: float, high: float, length: int) -> tuple[int, int]:
    """First and last pixel of an interval of shares, `MIN_SIDE` long if it can."""
    first, last = round(low * length), round(high * length)
    short = max(0, MIN_SIDE - (last - first))
    first, last = max(0, first - short // 2), min(length, last + short - short // 2)
    return first, max(first + 1, last)


def measure_agreement(encoder: SearchEncoder) -> Callable[[Encoded, str], float]:
    """What says how far a picture, encoded with its text, agrees with it."""
    names: dict[str, Floats] = {}

    def name_vector(name: str) -> Floats:
        if name not in names:
            names[name] = encoder.encode_items([None], [name])[0].juice.text
        return names[name]

    def agreement(encoded: Encoded, text: str) -> float:
        if not text.strip():
            return 0.0
        if encoder.reads_words:
            [words] = encoder.encode_queries([None], [text])
            return float(words.vector @ encoded.vector)
        classes, sentence = encoded.juice.classes, encoded.juice.text
        if not classes or not sentence.size:
            return 0.0
        meant = sum(share * name_vector(name) for name, share in classes)
        return float(unit(np.asarray(meant, np.float32)) @ sentence)

    return agreement


def chosen(samples: Sequence[Sample], way: Way, keep: float, seed: int = 0) -> list[bool]:
    """Which samples stay: all that are juiced; else a share of them, at least one."""
    if way is Way.JUICE:
        return [True] * len(samples)
    count = max(1, round(keep * len(samples)))
    if way is Way.SIEVE:
        order = np.argsort([-one.agreement for one in samples], kind="stable")
    else:
        order = np.random.default_rng(seed).permutation(len(samples))
    stays = np.zeros(len(samples), bool)
    stays[order[:count]] = True
    return [bool(one) for one in stays]
