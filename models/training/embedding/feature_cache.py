"""Views on disk: what the frozen part of the encoder makes of every training view, made once.

A view's trunk map is 69 kB (fp16, lite2 at 260 px); 20,000 views are 1.4 GB, mapped and not read
into memory.
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
from models.images import colour_histogram
from models.images.files import open_picture
from models.images.letterbox import Picture, letterbox, normalise
from models.juicer.juicer import pool_patches, pooling_weights
from models.training.embedding.augmentation import view
from models.training.embedding.identity_tower import Views

Rows = NDArray[np.int64]
JOBS_TOGETHER = 8


class Source(msgspec.Struct, frozen=True):
    """A picture and how many views of it there are; the first is the picture as it is."""

    path: str
    views: int


@dataclass(frozen=True)
class Recorded:
    """What a store is made by, beside its sources: another one makes another store.

    Without ``trunk`` no trunk maps are kept: the maps behind them can be trained, a tail cannot.
    """

    spec: BackboneSpec
    backgrounds: tuple[str, ...] = ()
    seed: int = 0
    trunk: bool = True


class ViewStore:
    """Views of pictures, row after row: source 0's, source 1's, …

    ``starts`` (sources + 1,) says where each source's rows begin. ``projection`` has the axes that
    parts and looks come from. ``rows`` are where they lie in the files of ``folder``.
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

    def fetch(self, rows: Rows) -> Views:
        """Views of some rows, in their order."""
        lying = rows if self._rows is None else self._rows[rows]
        order = np.argsort(lying, kind="stable")  # a mapped file is read from front to back
        back = np.argsort(order, kind="stable")
        return Views(
            self._trunk[lying[order]][back],
            self._weights[lying[order]][back].astype(np.float32),
            self.whitened(rows),
        )

    def pooled_features(self, rows: Rows) -> Floats:
        """What `models.embedding.projection.pooled_features` gave for some rows, (n, f)."""
        lying = rows if self._rows is None else self._rows[rows]
        found: Floats = self._features[lying].astype(np.float32)
        return found

    def whitened(self, rows: Rows) -> Floats:
        """Depths and colour of some rows, (n, d): see `Projection.whitened`."""
        return self.projection.whitened(self.pooled_features(rows))

    def appearances(self, rows: Rows) -> Floats:
        """Looks of some rows, (n, 256), of length 1."""
        return self.projection.project_appearance(self.pooled_features(rows))

    def through(self, projection: Projection) -> ViewStore:
        """The same views with other axes."""
        return ViewStore(self._folder, self.sources, projection, self._rows)

    def only(self, chosen: Rows) -> ViewStore:
        """A store of some of the sources, by their numbers, on the same files."""
        rows = [np.arange(self.starts[one], self.starts[one + 1]) for one in chosen]
        lying = np.concatenate(rows)
        return ViewStore(
            self._folder,
            [self.sources[one] for one in chosen],
            self.projection,
            lying if self._rows is None else self._rows[lying],
        )

    def clean(self) -> Rows:
        """The rows of the pictures as they are, one per source."""
        return self.starts[:-1]


def make_views(
    folder: Path,
    sources: Sequence[Source],
    recorded: Recorded,
    projection: Projection,
    *,
    processes: int = 2,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> ViewStore:
    """Make the views of all sources in ``folder``, or those that are still missing there.

    Raises:
        PictureError: a picture cannot be opened; the message names it.
        TrainingError: no source.
    """
    if not sources:
        raise TrainingError("no picture to learn from")
    key = _key(sources, recorded)
    if not (folder / "key").is_file() or (folder / "key").read_text() != key:
        _lay_out(folder, sources, recorded)
        (folder / "key").write_text(key)
    done = np.load(folder / "done.npy", mmap_mode="r+")
    store = ViewStore(folder, sources, projection)
    missing = np.flatnonzero(done == 0)
    progress(int(done.sum()), len(sources))
    chunks = [missing[at : at + JOBS_TOGETHER] for at in range(0, len(missing), JOBS_TOGETHER)]
    if not chunks:
        return store
    with ProcessPoolExecutor(
        processes, get_context("spawn"), _start_worker, (folder, store.starts, recorded)
    ) as pool:
        waiting = [
            pool.submit(_make, [(int(job), sources[job]) for job in chunk]) for chunk in chunks
        ]
        for made in as_completed(waiting):
            done[made.result()] = 1
            progress(int(done.sum()), len(sources))
    return store


def _lay_out(folder: Path, sources: Sequence[Source], recorded: Recorded) -> None:
    """Empty files of the right shapes."""
    folder.mkdir(parents=True, exist_ok=True)
    backbone = load_backbone(recorded.spec, threads=1)
    blank = np.zeros((1, 3, recorded.spec.size, recorded.spec.size), np.float32)
    rows, trunk = backbone.trunks(blank)
    shapes = {
        "trunk": trunk.shape[1:] if recorded.trunk else (0,),
        "weights": rows.shape[1:2],
        "features": (sum(backbone.layout.widths) + colour_histogram.WIDTH,),
    }
    total = sum(source.views for source in sources)
    for name, shape in shapes.items():
        np.lib.format.open_memmap(folder / f"{name}.npy", "w+", np.float16, (total, *shape))
    np.save(folder / "done.npy", np.zeros(len(sources), np.uint8))


def _key(sources: Iterable[Source], recorded: Recorded) -> str:
    digest = hashlib.sha256(msgspec.json.encode(list(sources)))
    digest.update(recorded.spec.fingerprint().encode())
    digest.update(msgspec.json.encode([recorded.backgrounds, recorded.seed, recorded.trunk]))
    return digest.hexdigest()


class _Worker:
    """What a process needs to make views."""

    def __init__(self, folder: Path, starts: Rows, recorded: Recorded) -> None:
        self.starts, self.recorded = starts, recorded
        self.backbone: Backbone = load_backbone(recorded.spec, threads=1)
        self.backgrounds: list[Picture] = [open_picture(Path(p)) for p in recorded.backgrounds]
        self.files = {
            name: np.load(folder / f"{name}.npy", mmap_mode="r+")
            for name in ("trunk", "weights", "features")
        }

    def make(self, job: int, source: Source) -> None:
        """Write all views of one source."""
        picture = open_picture(Path(source.path))
        for number in range(source.views):
            shown = picture
            if number:
                random = np.random.default_rng((self.recorded.seed, job, number))
                shown = view(picture, random, self.backgrounds)
            canvas, frame = letterbox(shown, self.recorded.spec.size)
            rows, trunk = self.backbone.trunks(normalise(canvas)[None])
            features = pool_patches(rows[0], canvas, frame, self.backbone.layout)
            row = int(self.starts[job]) + number
            if self.recorded.trunk:
                self.files["trunk"][row] = trunk[0]
            inside = frame.cells(self.backbone.layout.grid)
            self.files["weights"][row] = pooling_weights(features.saliency, inside)
            self.files["features"][row] = pooled_features(features)


_worker: list[_Worker] = []


def _start_worker(folder: Path, starts: Rows, recorded: Recorded) -> None:
    _worker[:] = [_Worker(folder, starts, recorded)]


def _make(jobs: Sequence[tuple[int, Source]]) -> list[int]:
    for job, source in jobs:
        _worker[0].make(job, source)
    return [job for job, _ in jobs]
