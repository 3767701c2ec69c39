"""Colours named by a fixed lexicon: what a catalog's own words are compared with.

The eleven basic terms (Berlin and Kay 1969). A pixel has the names of the nearest colours of the
xkcd survey (2010, CC0) that end in a basic term ("dark green", "dusty pink"), three of each; one of
hardly any chroma is black, grey or white by the lightness at which people change the word
(Benavente, Vanrell and Baldrich 2008). A picture has the name of most of its product's pixels, if
these are at least a share of all.
"""

from __future__ import annotations

from functools import cache

import numpy as np

from benchmarks.juicing.pictures import Network
from models.arrays import Floats
from models.images.colour_histogram import to_lab
from models.images.letterbox import Picture, letterbox, normalise
from models.juicer.juicer import pool_patches
from models.juicer.product_pixels import product_pixels

TERMS = (
    "black",
    "grey",
    "white",
    "red",
    "green",
    "blue",
    "yellow",
    "brown",
    "orange",
    "pink",
    "purple",
)
BLACK_TO_GREY, GREY_TO_WHITE = 28.3, 79.6
"""L* at which the word changes."""
LITTLE_CHROMA = 6.0
SHARE = 0.6
"""Of the product's pixels, from which a colour is named."""
_BLUR, _NEAREST, _STEPS = 6.0, 3, 32


def colour_term(picture: Picture, network: Network) -> tuple[str, float]:
    """The term of most of the product's pixels, and their share."""
    canvas, frame = letterbox(picture, network.size)
    layout = network.backbone.layout
    (rows,) = network.backbone.patches(normalise(canvas)[None])
    saliency = pool_patches(rows, canvas, frame, layout).saliency
    pixels, weights = product_pixels(canvas, frame, saliency, layout.grid)
    at = (pixels // (256 / _STEPS)).astype(np.intp) @ (_STEPS**2, _STEPS, 1)
    shares = weights @ _terms()[at] / weights.sum()
    return TERMS[int(shares.argmax())], float(shares.max())


@cache
def _terms() -> Floats:
    """The shares of the terms in each cell of the RGB cube, (32768, 11)."""
    import matplotlib.colors as named  # noqa: PLC0415

    steps = (np.arange(_STEPS) + 0.5) * (256 / _STEPS)
    cells = np.stack(np.meshgrid(steps, steps, steps, indexing="ij"), -1).reshape(-1, 3)
    lab = to_lab(cells.astype(np.float32))
    colours: dict[str, list[tuple[float, ...]]] = {term: [] for term in TERMS[3:]}
    for name, code in named.XKCD_COLORS.items():
        term = name.removeprefix("xkcd:").replace("/", " ").split()[-1]
        if term in colours:
            colours[term].append(tuple(255 * one for one in named.to_rgb(code)))
    nearness = np.stack([_nearness(lab, some) for some in colours.values()], axis=1)
    nearness = np.exp(nearness - nearness.max(axis=1, keepdims=True))
    nearness /= nearness.sum(axis=1, keepdims=True)
    colourless = _falls(np.hypot(lab[:, 1], lab[:, 2]), LITTLE_CHROMA, 1.5)
    black, white = _falls(lab[:, 0], BLACK_TO_GREY, 3), 1 - _falls(lab[:, 0], GREY_TO_WHITE, 3)
    greys = np.stack([black, 1 - black - white, white], axis=1)
    shares: Floats = np.concatenate(
        [greys * colourless[:, None], nearness * (1 - colourless)[:, None]], axis=1
    ).astype(np.float32)
    return shares


def _nearness(lab: Floats, colours: list[tuple[float, ...]]) -> Floats:
    """Log of how near cells (n, 3) are to the nearest of some colours."""
    points = to_lab(np.array(colours, np.float32))
    squares = ((lab[:, None] - points) ** 2).sum(axis=-1)
    nearest: Floats = -np.sort(squares, axis=1)[:, :_NEAREST].mean(axis=1) / (2 * _BLUR**2)
    return nearest


def _falls(values: Floats, middle: float, width: float) -> Floats:
    """From 1 to 0 around the middle."""
    falls: Floats = 1 / (1 + np.exp((values - middle) / width))
    return falls
