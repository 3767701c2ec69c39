"""Fitting a projection on the pictures of catalog folders: where ``train embedding`` begins.

Next to nothing is learned here of what distinguishes products: only how their photos differ from
their own pictures (`models.embedding.appearance`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
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
from models.training.embedding.fit_appearance import fit_appearance
from models.training.embedding.fit_pca import fit_principal_axes

DEPTH_AXES = (120, 160, 256, 320)
COLOUR_AXES = 100
SHRINKAGE = 5.0
"""Flat between 1 and 8 on both validation splits."""

TOKEN_SHRINKAGE = 0.3
CELLS_PER_PICTURE = 12
BATCH = 32
FEWEST = 64
"""Pictures: fewer give no covariance worth the name."""


Pairs = tuple[list[int], list[int]]


@dataclass(frozen=True)
class _Shot:
    """A picture to fit on: a product's own, or a photo of one, if it is known of which."""

    path: Path
    product_id: str | None
    own: bool


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
    random = np.random.default_rng(seed)
    catalogs = [read_catalog(folder) for folder in folders]
    chosen = [_chosen(catalog, split, limit, random) for catalog in catalogs]
    total, done = sum(map(len, chosen)), 0
    sources: list[list[PictureFeatures]] = []
    for some in chosen:
        squeezed: list[PictureFeatures] = []
        for one in _squeezed([shot.path for shot in some], network, spec.size):
            squeezed.append(one)
            done += 1
            progress(done, total)
        sources.append(squeezed)
    names = [catalog.folder.name for catalog in catalogs]
    card: dict[str, object] = {
        "backbone": spec.timm_name,
        "fingerprint": spec.fingerprint(),
        "pictures": dict(zip(names, map(len, chosen), strict=True)),
        "shrinkage": SHRINKAGE,
    }
    classifier = network.layout.classifier
    classes = None if classifier is None else classifier[0]
    return _fit(sources, [_pairs(some) for some in chosen], classes, random, card)


def _fit(
    sources: Sequence[Sequence[PictureFeatures]],
    pairs: Sequence[Pairs],
    classes: Floats | None,
    random: np.random.Generator,
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
        [np.concatenate([_draw_cells(one, random) for one in source]) for source in sources],
        TOKEN_WIDTH,
        TOKEN_SHRINKAGE,
    )
    rows = [
        np.stack([raw_features(one.pooled, one.colour) for one in source]) for source in sources
    ]
    changes = [
        row[photos] - row[products]
        for row, (photos, products) in zip(rows, pairs, strict=True)
        if len(photos)
    ]
    return Projection(depths, colour, fit_appearance(rows, changes, classes), tokens, card)


def _squeezed(paths: Sequence[Path], backbone: Backbone, size: int) -> Iterator[PictureFeatures]:
    for start in range(0, len(paths), BATCH):
        some = [open_picture(path) for path in paths[start : start + BATCH]]
        yield from extract_features(some, backbone, size)


def _chosen(
    catalog: Catalog, split: str, limit: int | None, random: np.random.Generator
) -> list[_Shot]:
    shown: list[Product | Photo] = [*catalog.products]
    shown += [photo for photo in catalog.photos if photo.split == split]
    shots = [
        _Shot(Path(catalog.locate(one.image)), one.product_id, isinstance(one, Product))
        for one in shown
        if one.image and "://" not in one.image
    ]
    if limit is not None and limit < len(shots):
        # Whole products: it is their pictures' differences that are wanted.
        names = [shot.product_id or str(shot.path) for shot in shots]
        rank = dict(zip(unique := sorted(set(names)), random.permutation(len(unique)), strict=True))
        drawn = sorted(range(len(shots)), key=lambda place: (rank[names[place]], place))[:limit]
        shots = [shots[place] for place in sorted(drawn)]
    if len(shots) < FEWEST:
        raise ProjectionError(
            f"{catalog.folder} has {len(shots)} local pictures of split {split!r} and of its "
            f"products; a projection needs {FEWEST} or more"
        )
    return shots


def _pairs(shots: Sequence[_Shot]) -> Pairs:
    """Places of photos, and of the pictures of the products that they show."""
    own = {shot.product_id: place for place, shot in enumerate(shots) if shot.own}
    photos = [place for place, shot in enumerate(shots) if not shot.own and shot.product_id in own]
    return photos, [own[shots[place].product_id] for place in photos]


def _draw_cells(squeezed: PictureFeatures, random: np.random.Generator) -> Floats:
    """Patches drawn by saliency, so that the token axes describe products and not tables."""
    shares = squeezed.saliency.astype(np.float64)
    count = min(CELLS_PER_PICTURE, int((shares > 0).sum()))
    return squeezed.cells[random.choice(len(shares), count, replace=False, p=shares / shares.sum())]
