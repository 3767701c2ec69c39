"""PCA initialisation: an untrained projection fitted on the pictures of catalog folders.

Nothing here is trained to tell products apart: all maps are principal axes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from models.arrays import Floats
from models.backbone.load import load_backbone
from models.backbone.protocol import Backbone
from models.backbone.spec import named_backbone
from models.catalog.folder import Catalog, Photo, Product, read_catalog
from models.embedding.appearance import raw_features
from models.embedding.projection import TOKEN_WIDTH, Projection
from models.errors import ProjectionError
from models.images.files import open_picture
from models.juicer.juicer import PictureFeatures, extract_features
from models.training.embedding.fit_appearance import fit_appearance, fit_colour
from models.training.embedding.fit_pca import fit_principal_axes

DEPTH_AXES = (120, 160, 256, 320)
COLOUR_AXES = 100
SHRINKAGE = 5.0
"""Flat between 1 and 8 on both validation splits."""

TOKEN_SHRINKAGE = 0.3
CELLS_PER_PICTURE = 12
BATCH = 32
MIN_PICTURES = 64
"""Fewer give no useful covariance."""


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
        backbone: as in ``models.backbone.spec.named_backbone``.
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
    rng = np.random.default_rng(seed)
    catalogs = [read_catalog(folder) for folder in folders]
    chosen = [sample_pictures(catalog, split, limit, rng) for catalog in catalogs]
    total, done = sum(map(len, chosen)), 0
    sources: list[list[PictureFeatures]] = []
    for paths in chosen:
        features: list[PictureFeatures] = []
        for one in _extract_features(paths, network, spec.size):
            features.append(one)
            done += 1
            progress(done, total)
        sources.append(features)
    names = [catalog.folder.name for catalog in catalogs]
    card: dict[str, object] = {
        "backbone": spec.timm_name,
        "fingerprint": spec.fingerprint(),
        "pictures": dict(zip(names, map(len, chosen), strict=True)),
        "shrinkage": SHRINKAGE,
    }
    classifier = network.layout.classifier
    classes = None if classifier is None else classifier[0]
    return _fit(sources, classes, rng, card)


def _fit(
    sources: Sequence[Sequence[PictureFeatures]],
    classes: Floats | None,
    rng: np.random.Generator,
    card: dict[str, object],
) -> Projection:
    count = len(sources[0][0].pooled)
    depths = tuple(
        fit_principal_axes(
            [np.stack([one.pooled[depth] for one in source]) for source in sources],
            width,
            SHRINKAGE,
        )
        for depth, width in enumerate(DEPTH_AXES[-count:])
    )
    colour = fit_principal_axes(
        [np.stack([one.colour for one in source]) for source in sources], COLOUR_AXES, SHRINKAGE
    )
    tokens = fit_principal_axes(
        [np.concatenate([sample_cells(one, rng) for one in source]) for source in sources],
        TOKEN_WIDTH,
        TOKEN_SHRINKAGE,
    )
    appearance = fit_appearance(
        [np.stack([raw_features(one.pooled) for one in source]) for source in sources], classes
    )
    fine_colour = fit_colour([np.stack([one.fine_colour for one in source]) for source in sources])
    return Projection(depths, colour, appearance, fine_colour, tokens, card)


def _extract_features(
    paths: Sequence[Path], backbone: Backbone, size: int
) -> Iterator[PictureFeatures]:
    for start in range(0, len(paths), BATCH):
        some = [open_picture(path) for path in paths[start : start + BATCH]]
        yield from extract_features(some, backbone, size)


def sample_pictures(
    catalog: Catalog, split: str, limit: int | None, rng: np.random.Generator
) -> list[Path]:
    """The local pictures of a catalog's products and photos of a split, or ``limit`` of them.

    Raises:
        ProjectionError: there are fewer than 64.
    """
    pictures: list[Product | Photo] = [*catalog.products]
    pictures += [photo for photo in catalog.photos if photo.split == split]
    paths = [
        Path(catalog.locate(one.image)) for one in pictures if one.image and "://" not in one.image
    ]
    if limit is not None and limit < len(paths):
        paths = [paths[place] for place in sorted(rng.permutation(len(paths))[:limit])]
    if len(paths) < MIN_PICTURES:
        raise ProjectionError(
            f"{catalog.folder} has {len(paths)} local pictures of split {split!r} and of its "
            f"products; a projection needs {MIN_PICTURES} or more"
        )
    return paths


def sample_cells(features: PictureFeatures, rng: np.random.Generator) -> Floats:
    """Patches sampled by saliency, so that token axes are those of products, not of backgrounds."""
    shares = features.saliency.astype(np.float64)
    count = min(CELLS_PER_PICTURE, int((shares > 0).sum()))
    return features.cells[rng.choice(len(shares), count, replace=False, p=shares / shares.sum())]
