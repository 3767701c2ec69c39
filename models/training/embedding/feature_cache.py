"""The feature cache: the frozen features of every training view, on disk, computed once.

A view's trunk map is 69 kB (fp16, lite2 at 260 px); 20,000 views are 1.4 GB, memory-mapped.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
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
from models.embedding.projection import Projection, pooled_features
from models.errors import TrainingError
from models.images.colour_histogram import COARSE, FINE
from models.images.files import open_picture
from models.images.letterbox import Picture, letterbox, normalise
from models.images.views import catalog_view
from models.juicer.juicer import pool_patches, pooling_weights
from models.training.embedding.augmentation import random_view
from models.training.embedding.identity_tower import ViewFeatures

Rows = NDArray[np.int64]
JOBS_PER_TASK = 8
FILES = ("trunk", "weights", "features")
FEATURES_VERSION = 2
"""Raise it when a row of the files changes: older caches are computed anew."""


class Source(msgspec.Struct, frozen=True):
    """A picture and its number of views; the first is the picture unaugmented."""

    path: str
    views: int


@dataclass(frozen=True)
class CacheSettings:
    """What the cached features depend on, beside the sources.

    Without ``trunk`` no trunk maps are cached: maps can be trained, an identity branch cannot.
    ``catalog_views`` are those of `models.images.views`, which nothing is trained on; else they are
    those of `models.training.embedding.augmentation`.
    """

    spec: BackboneSpec
    backgrounds: tuple[str, ...] = ()
    seed: int = 0
    trunk: bool = True
    catalog_views: bool = False


class FeatureCache:
    """Features of views, row after row: source 0's, source 1's, …

    ``starts`` (sources + 1,) are the first rows of the sources. ``projection`` has the axes of
    whitened features and appearances. ``rows`` are the rows in the files of ``folder``.
    """

    def __init__(
        self,
        folder: Path,
        sources: Sequence[Source],
        projection: Projection,
        rows: Rows | None = None,
    ) -> None:
        self.sources, self.projection = tuple(sources), projection
        counts = [source.views for source in sources]
        self.starts: Rows = np.concatenate([[0], np.cumsum(counts, dtype=np.int64)])
        self._folder, self._rows = folder, rows
        self._trunk = np.load(folder / "trunk.npy", mmap_mode="r")
        self._weights = np.load(folder / "weights.npy", mmap_mode="r")
        self._features = np.load(folder / "features.npy", mmap_mode="r")

    def __len__(self) -> int:
        return int(self.starts[-1])

    def fetch(self, rows: Rows) -> ViewFeatures:
        """The features of some rows, in their order."""
        in_file = self._in_file(rows)
        order = np.argsort(in_file, kind="stable")  # a mapped file is read from front to back
        inverse = np.argsort(order, kind="stable")
        return ViewFeatures(
            self._trunk[in_file[order]][inverse],
            self._weights[in_file[order]][inverse].astype(np.float32),
            self.whitened(rows),
        )

    def pooled_features(self, rows: Rows) -> Floats:
        """Those of `models.embedding.projection.pooled_features` for some rows, (n, f)."""
        features: Floats = self._features[self._in_file(rows), : -FINE.width].astype(np.float32)
        return features

    def whitened(self, rows: Rows) -> Floats:
        """Whitened depths and colours of some rows, (n, d): see `Projection.whitened`."""
        return self.projection.whitened(self.pooled_features(rows))

    def appearances(self, rows: Rows) -> Floats:
        """Appearances of some rows, (n, 384), of length 1."""
        return self.projection.project_appearance(self.pooled_features(rows))

    def colours(self, rows: Rows) -> Floats:
        """The vector's colours of some rows, (n, 128), of length 1."""
        histograms = self._features[self._in_file(rows), -FINE.width :].astype(np.float32)
        return self.projection.project_colour(histograms)

    def with_projection(self, projection: Projection) -> FeatureCache:
        """The same features with another projection."""
        return FeatureCache(self._folder, self.sources, projection, self._rows)

    def select(self, chosen: Rows) -> FeatureCache:
        """The cache of some of the sources, by their numbers, on the same files."""
        rows = [np.arange(self.starts[one], self.starts[one + 1]) for one in chosen]
        selected = np.concatenate(rows)
        return FeatureCache(
            self._folder,
            [self.sources[one] for one in chosen],
            self.projection,
            selected if self._rows is None else self._rows[selected],
        )

    def clean_rows(self) -> Rows:
        """The rows of the unaugmented pictures, one per source."""
        return self.starts[:-1]

    def _in_file(self, rows: Rows) -> Rows:
        return rows if self._rows is None else self._rows[rows]


def build_cache(
    folder: Path,
    sources: Sequence[Source],
    settings: CacheSettings,
    projection: Projection,
    *,
    processes: int = 2,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> FeatureCache:
    """Compute the features of all sources in ``folder``, as far as they are not there yet.

    Raises:
        PictureError: a picture cannot be opened; the message names it.
        TrainingError: no source.
    """
    if not sources:
        raise TrainingError("no picture to train on")
    key = _key(sources, settings)
    if not (folder / "key").is_file() or (folder / "key").read_text() != key:
        _allocate(folder, sources, settings)
        (folder / "key").write_text(key)
    done = np.load(folder / "done.npy", mmap_mode="r+")
    cache = FeatureCache(folder, sources, projection)
    missing = np.flatnonzero(done == 0)
    progress(int(done.sum()), len(sources))
    chunks = [missing[at : at + JOBS_PER_TASK] for at in range(0, len(missing), JOBS_PER_TASK)]
    if not chunks:
        return cache
    with ProcessPoolExecutor(
        processes, get_context("spawn"), _start_worker, (folder, cache.starts, settings)
    ) as pool:
        tasks = [
            pool.submit(_run_jobs, [(int(job), sources[job]) for job in chunk]) for chunk in chunks
        ]
        for task in as_completed(tasks):
            done[task.result()] = 1
            progress(int(done.sum()), len(sources))
    return cache


def _allocate(folder: Path, sources: Sequence[Source], settings: CacheSettings) -> None:
    """Allocate files of the right shapes."""
    folder.mkdir(parents=True, exist_ok=True)
    backbone = load_backbone(settings.spec, threads=1)
    blank = np.zeros((1, 3, settings.spec.size, settings.spec.size), np.float32)
    rows, trunk = backbone.trunks(blank)
    shapes = {
        "trunk": trunk.shape[1:] if settings.trunk else (0,),
        "weights": rows.shape[1:2],
        "features": (sum(backbone.layout.widths) + COARSE.width + FINE.width,),
    }
    total = sum(source.views for source in sources)
    for name, shape in shapes.items():
        np.lib.format.open_memmap(folder / f"{name}.npy", "w+", np.float16, (total, *shape))
    np.save(folder / "done.npy", np.zeros(len(sources), np.uint8))


def _key(sources: Iterable[Source], settings: CacheSettings) -> str:
    digest = hashlib.sha256(msgspec.json.encode(list(sources)))
    digest.update(settings.spec.fingerprint().encode())
    made = [settings.backgrounds, settings.seed, settings.trunk, settings.catalog_views]
    digest.update(msgspec.json.encode([FEATURES_VERSION, *made]))
    return digest.hexdigest()


class ViewMaker:
    """Makes views and their frozen features, in one thread."""

    def __init__(self, settings: CacheSettings) -> None:
        self._settings = settings
        self._backbone: Backbone = load_backbone(settings.spec, threads=1)
        self._backgrounds: list[Picture] = [open_picture(Path(p)) for p in settings.backgrounds]

    def view(self, picture: Picture, job: int, number: int) -> Picture:
        """View ``number`` of source ``job``, whose picture this is; 0 is the picture itself."""
        if not number:
            return picture
        rng = np.random.default_rng((self._settings.seed, job, number))
        if not self._settings.catalog_views:
            return random_view(picture, rng, self._backgrounds)
        others = self._backgrounds or [picture]
        return catalog_view(picture, others[int(rng.integers(len(others)))], number, rng)

    def features(self, view: Picture) -> dict[str, Floats]:
        """A row for each of `FILES`."""
        canvas, frame = letterbox(view, self._settings.spec.size)
        rows, trunk = self._backbone.trunks(normalise(canvas)[None])
        layout = self._backbone.layout
        features = pool_patches(rows[0], canvas, frame, layout)
        return {
            "trunk": trunk[0],
            "weights": pooling_weights(features.saliency, frame.cells(layout.grid)),
            "features": np.concatenate([pooled_features(features), features.fine_colour]),
        }


class _Worker:
    """A process that computes features of views."""

    def __init__(self, folder: Path, starts: Rows, settings: CacheSettings) -> None:
        self.starts, self.maker = starts, ViewMaker(settings)
        names = FILES if settings.trunk else FILES[1:]
        self.files = {name: np.load(folder / f"{name}.npy", mmap_mode="r+") for name in names}

    def compute(self, job: int, source: Source) -> None:
        """Write the features of all views of one source."""
        picture = open_picture(Path(source.path))
        for number in range(source.views):
            row = self.maker.features(self.maker.view(picture, job, number))
            for name, file in self.files.items():
                file[int(self.starts[job]) + number] = row[name]


_worker: list[_Worker] = []


def _start_worker(folder: Path, starts: Rows, settings: CacheSettings) -> None:
    _worker[:] = [_Worker(folder, starts, settings)]


def _run_jobs(jobs: Sequence[tuple[int, Source]]) -> list[int]:
    for job, source in jobs:
        _worker[0].compute(job, source)
    return [job for job, _ in jobs]
