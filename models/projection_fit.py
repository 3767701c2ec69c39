"""Fitting a projection on the pictures of catalog folders: where ``train embedding`` begins.

Unsupervised: only pixels are read, never which product a photo shows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from models.backbone import Backbone, load_backbone
from models.data.catalog import Catalog, read_catalog
from models.data.pictures import open_picture
from models.errors import ProjectionError
from models.juice import Floats
from models.juicer import Squeezed, squeeze
from models.networks import named_backbone
from models.projection import (
    TOKEN_WIDTH,
    Axes,
    Projection,
    fit_axes,
)
from models.vector import LOOK_WIDTH

DEPTH_AXES = (120, 160, 256, 320)
COLOUR_AXES = 100
SHRINKAGE = 5.0
"""Flat between 1 and 8 on both validation splits."""

TOKEN_SHRINKAGE = 0.3
CELLS_PER_PICTURE = 12
BATCH = 32
FEWEST = 64
"""Pictures: fewer give no covariance worth the name."""


def fit_projection(
    folders: Sequence[Path],
    *,
    backbone: str = "lite2",
    split: str = "train",
    limit: int | None = None,
    seed: int = 0,
    device: str = "cpu",
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Projection:
    """Fit on every folder's product pictures and the photos of ``split``.

    Args:
        folders: catalog folders; each counts the same, however many pictures it has.
        backbone: as in ``models.backbone.named_backbone``.
        split: of photos.jsonl; photos of other splits are never opened.
        limit: at most so many pictures per folder, drawn by ``seed``.
        seed: of the draws of pictures and patches.
        device: "cpu" or "cuda".
        progress: called with (pictures done, pictures in all).

    Raises:
        CatalogError: a folder cannot be read.
        PictureError: a picture cannot be opened; the message names it.
        ProjectionError: fewer than 64 pictures in a folder.
    """
    spec = named_backbone(backbone)
    network = load_backbone(spec, device=device)
    random = np.random.default_rng(seed)
    catalogs = [read_catalog(folder) for folder in folders]
    paths = [_chosen(catalog, split, limit, random) for catalog in catalogs]
    total, done = sum(map(len, paths)), 0
    sources: list[list[Squeezed]] = []
    for source in paths:
        squeezed: list[Squeezed] = []
        for one in _squeezed(source, network, spec.size):
            squeezed.append(one)
            done += 1
            progress(done, total)
        sources.append(squeezed)
    names = [catalog.folder.name for catalog in catalogs]
    card: dict[str, object] = {
        "backbone": spec.timm_name,
        "fingerprint": spec.fingerprint(),
        "pictures": dict(zip(names, map(len, paths), strict=True)),
        "shrinkage": SHRINKAGE,
    }
    return _fit(sources, random, card)


def _fit(
    sources: Sequence[Sequence[Squeezed]],
    random: np.random.Generator,
    card: dict[str, object],
) -> Projection:
    count = len(sources[0][0].pooled)
    depths = tuple(
        fit_axes(
            [np.stack([one.pooled[depth] for one in source]) for source in sources],
            width,
            SHRINKAGE,
        )
        for depth, width in enumerate(DEPTH_AXES[-count:])
    )
    colour = fit_axes(
        [np.stack([one.colour for one in source]) for source in sources], COLOUR_AXES, SHRINKAGE
    )
    tokens = fit_axes(
        [np.concatenate([_draw_cells(one, random) for one in source]) for source in sources],
        TOKEN_WIDTH,
        TOKEN_SHRINKAGE,
    )
    # The parts need the maps that are fitted by now, and the look's rotation needs the parts.
    unturned = Projection(depths, colour, colour, tokens, card)
    parts = [np.stack([unturned.parts(one) for one in source]) for source in sources]
    return replace(unturned, look=widened(fit_axes(parts, LOOK_WIDTH, None), LOOK_WIDTH))


def _squeezed(paths: Sequence[Path], backbone: Backbone, size: int) -> Iterator[Squeezed]:
    for start in range(0, len(paths), BATCH):
        some = [open_picture(path) for path in paths[start : start + BATCH]]
        yield from squeeze(some, backbone, size)


def _chosen(
    catalog: Catalog, split: str, limit: int | None, random: np.random.Generator
) -> list[Path]:
    references = [product.image for product in catalog.products if product.image]
    references += [photo.image for photo in catalog.photos if photo.split == split]
    paths = [Path(catalog.locate(one)) for one in references if "://" not in one]
    if limit is not None and limit < len(paths):
        paths = [paths[index] for index in sorted(random.choice(len(paths), limit, replace=False))]
    if len(paths) < FEWEST:
        raise ProjectionError(
            f"{catalog.folder} has {len(paths)} local pictures of split {split!r} and of its "
            f"products; a projection needs {FEWEST} or more"
        )
    return paths


def _draw_cells(squeezed: Squeezed, random: np.random.Generator) -> Floats:
    """Patches drawn by saliency, so that the token axes describe products and not tables."""
    shares = squeezed.saliency.astype(np.float64)
    count = min(CELLS_PER_PICTURE, int((shares > 0).sum()))
    return squeezed.cells[random.choice(len(shares), count, replace=False, p=shares / shares.sum())]


def widened(axes: Axes, width: int) -> Axes:
    """The axes with zeros up to ``width``: few pictures span fewer axes than a vector has."""
    missing = width - axes.matrix.shape[1]
    return Axes(axes.mean, np.pad(axes.matrix, ((0, 0), (0, missing))))
