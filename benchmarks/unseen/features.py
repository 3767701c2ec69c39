"""What the juicer makes of pictures, and of views of them: computed once, kept on disk.

As in `models.training.embedding.feature_cache`, but with all that a vector is made of, and with the
views that a catalog's evidence comes from.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from models.arrays import Floats
from models.backbone.load import load_backbone
from models.backbone.protocol import Backbone
from models.backbone.spec import BackboneSpec
from models.embedding.projection import pooled_features
from models.images.colour_histogram import COARSE, FINE
from models.images.files import open_picture
from models.images.letterbox import Picture
from models.images.views import catalog_view
from models.juicer.juicer import extract_features
from models.progress import Progress, no_progress

Rows = NDArray[np.intp]
PROCESSES = 2
PICTURES_PER_JOB = 8


class Source(msgspec.Struct, frozen=True):
    """A picture, or a view of it.

    Attributes:
        path: of the file.
        view: the number of the view, see `catalog_view`; None for the picture as it is.
        other: a picture that the view may be pasted on.
    """

    path: str
    view: int | None = None
    other: str = ""


@dataclass(frozen=True, eq=False)
class Features:
    """Features of n pictures.

    Attributes:
        depths: pooled, (n, c) of each.
        coarse_colour, fine_colour: histograms, (n, 120) and (n, 567).
        branch: of the identity branch, (n, k); k is 0 without one.
    """

    depths: tuple[Floats, ...]
    coarse_colour: Floats
    fine_colour: Floats
    branch: Floats

    @property
    def pooled(self) -> Floats:
        """As `models.embedding.projection.pooled_features` has them, (n, f)."""
        return np.concatenate([*self.depths, self.coarse_colour], axis=1)

    def of(self, rows: Rows) -> Features:
        """The features of some pictures."""
        return Features(
            tuple(depth[rows] for depth in self.depths),
            self.coarse_colour[rows],
            self.fine_colour[rows],
            self.branch[rows],
        )


def cached_features(
    folder: Path,
    sources: Sequence[Source],
    spec: BackboneSpec,
    model_id: str,
    *,
    progress: Progress = no_progress,
) -> Features:
    """The features of pictures, kept in ``folder`` for the next call with the same ones.

    ``model_id`` is that of the encoder whose features they are.

    Raises:
        PictureError: a picture cannot be opened; the message names it.
    """
    key = hashlib.sha256(msgspec.json.encode([list(sources), model_id])).hexdigest()
    path = folder / f"{key[:16]}.npy"
    layout = load_backbone(spec, threads=1).layout
    if not path.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        width = sum(layout.widths) + COARSE.width + FINE.width + layout.identity
        rows = np.empty((len(sources), width), np.float32)
        starts = range(0, len(sources), PICTURES_PER_JOB)
        with ProcessPoolExecutor(
            PROCESSES, get_context("spawn"), initializer=_start, initargs=(spec,)
        ) as pool:
            jobs = [sources[start : start + PICTURES_PER_JOB] for start in starts]
            for start, found in zip(starts, pool.map(_run, jobs), strict=True):
                rows[start : start + len(found)] = found
                progress(start + len(found), len(sources))
        unfinished = path.with_suffix(".part.npy")
        np.save(unfinished, rows)
        unfinished.rename(path)
    ends = np.cumsum([*layout.widths, COARSE.width, FINE.width])
    *depths, coarse, fine, branch = np.split(np.load(path), ends, axis=1)
    return Features(tuple(depths), coarse, fine, branch)


def picture_of(source: Source) -> Picture:
    """The picture, or the view of it: always the same one."""
    picture = open_picture(Path(source.path))
    if source.view is None:
        return picture
    name = hashlib.sha256(Path(source.path).name.encode()).digest()
    rng = np.random.default_rng([source.view, *name])
    return catalog_view(picture, open_picture(Path(source.other)), source.view, rng)


@dataclass(frozen=True, eq=False)
class _Worker:
    backbone: Backbone
    size: int


_worker: list[_Worker] = []


def _start(spec: BackboneSpec) -> None:
    _worker[:] = [_Worker(load_backbone(spec, threads=1), spec.size)]


def _run(sources: Sequence[Source]) -> Floats:
    worker = _worker[0]
    rows = [
        np.concatenate([pooled_features(one), one.fine_colour, one.identity])
        for one in extract_features(list(map(picture_of, sources)), worker.backbone, worker.size)
    ]
    return np.stack(rows)
