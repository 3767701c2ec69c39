"""Fitting the axes of a hub's encoder on pictures, for vectors shorter than its own.

Nothing is trained: embeddings are rotated to the principal axes of their second moments, so that a
prefix keeps the cosines best (Matryoshka without training). Where the network reads words, those of
the catalogs' products count as much as the pictures.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from models.arrays import Floats, unit
from models.backbone.load import exported_towers, network_folder
from models.backbone.tower import PictureTower, TextTower
from models.backbone.tower_files import read_card
from models.catalog.folder import read_catalog
from models.embedding.layout import APPEARANCE_PREFIXES
from models.embedding.projection import TOKEN_WIDTH
from models.embedding.tower_projection import (
    TowerProjection,
    packaged_colour,
    save_tower_projection,
)
from models.errors import ProjectionError
from models.images.files import open_picture
from models.juicer.tower_features import TowerFeatures
from models.progress import Progress, no_progress
from models.training.embedding.fit_pca import fit_rotation
from models.training.embedding.pca_init import sample_cells, sample_pictures


def fit_tower(
    folders: Sequence[Path],
    backbone: str,
    to: Path,
    *,
    split: str = "train",
    limit: int | None = None,
    offline: bool = False,
    seed: int = 0,
    progress: Progress = no_progress,
) -> dict[str, object]:
    """Fit on every folder's product pictures and the photos of ``split``; write ``to``.

    Args:
        folders: catalog folders; each counts the same, however many pictures it has.
        backbone: an encoder of a hub, or a folder of a Hugging Face model.
        to: the file, for the setting models.projection.
        split: of photos.jsonl; photos of other splits are never opened.
        limit: at most so many pictures per folder, drawn by ``seed``.
        offline: fetch nothing from a hub.
        seed: of the draws of pictures and patches.
        progress: called with pictures done, and pictures in all.

    Returns:
        The card of the file: what it was fitted on, and the share of the pictures' moments that is
        kept by the prefixes of the appearance.

    Raises:
        CatalogError: a folder cannot be read.
        PictureError: a picture cannot be opened; the message names it.
        ProjectionError: the name is of no such encoder, or a folder has fewer than 64 pictures.
        WeightsError: the network cannot be had.
    """
    folder = network_folder(backbone, offline=offline)
    if folder is None:
        raise ProjectionError(
            f"{backbone} has no rotation of its own: it is for encoders of a hub, or folders of a "
            "Hugging Face model. For lite2 and lite0 there is `lookstream train embedding`"
        )
    exported = exported_towers(folder)
    card = read_card(exported)
    source = TowerFeatures(card, PictureTower(exported, threads=1))
    texts = None if card.text is None else TextTower(exported, card.text, threads=1)
    rng = np.random.default_rng(seed)
    catalogs = [read_catalog(one) for one in folders]
    chosen = [sample_pictures(catalog, split, limit, rng) for catalog in catalogs]
    total, done = sum(map(len, chosen)), 0
    seen: list[Floats] = []
    cells: list[Floats] = []
    for paths in chosen:
        embeddings, patches = [], []
        for path in paths:
            (found,) = source.features([open_picture(path)])
            embeddings.append(found.pooled[0])
            patches.append(sample_cells(found, rng))
            done += 1
            progress(done, total)
        seen.append(unit(np.stack(embeddings)))
        cells.append(np.concatenate(patches))
    read = []
    if texts is not None:
        for catalog in catalogs:
            words = list(dict.fromkeys(one.title for one in catalog.products if one.title))[:limit]
            read += [unit(np.stack([texts.embed(one) for one in words]))] if words else []
    rotation = fit_rotation([*seen, *read])[:, : APPEARANCE_PREFIXES[-1]]
    tokens = fit_rotation(cells)[:, :TOKEN_WIDTH]
    kept = np.mean([np.square(rows @ rotation).mean(axis=0).cumsum() for rows in seen], axis=0)
    fitted: dict[str, object] = {
        "network": card.name,
        "fingerprint": card.fingerprint,
        "pictures": dict(zip([one.folder.name for one in catalogs], map(len, chosen), strict=True)),
        "kept": {
            str(width): round(float(kept[min(width, len(kept)) - 1]), 4)
            for width in APPEARANCE_PREFIXES
        },
    }
    save_tower_projection(TowerProjection(rotation, tokens, packaged_colour()), to, fitted)
    return fitted
