"""Vectors of real and rendered pictures, and as many around them as a benchmark wants.

Pictures are encoded once and kept in a folder. There are some thousand of them: where a benchmark
wants more items than that, each further one is a real vector that is moved by the difference
between two others of its neighbourhood, so that items vary as the real ones do.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import faiss
import numpy as np

from models.arrays import Floats, unit
from models.catalog.folder import read_catalog
from models.embedding.encoder import Encoder
from models.embedding.layout import PartWeights
from models.embedding.load import encoder_id, load_encoder
from models.errors import ModelError
from models.images.files import open_picture
from models.progress import Progress, no_progress

PROCESSES = 2
JOB = 16
NEIGHBOURHOOD = 50
"""Real vectors in one: two of them differ as products of a kind do."""
BY_PICTURE = PartWeights(identity=1.0)
MOVED = 0.7
"""How much of a difference a further item is moved by."""

Source = tuple[str, str | None, bool]
"""A file, the words of an item or none, and whether it is a query."""


def picture_vectors(
    folders: Sequence[Path], cache: Path, *, progress: Progress = no_progress
) -> tuple[Floats, Floats]:
    """Vectors of the pictures of some catalog folders, with those of photos asked as queries.

    Args:
        folders: catalogs; pictures that are not there are left out.
        cache: where vectors are kept for the next call.
        progress: told of the pictures that are done.

    Returns:
        Items (n, d), of products' pictures with their words and of photos without; and queries
        (m, d), every tenth photo, which are no items.
    """
    sources = [source for folder in folders for source in _sources(folder)]
    key = hashlib.sha256(repr([sources, encoder_id()]).encode()).hexdigest()[:16]
    path = cache / f"pictures-{key}.npy"
    if not path.is_file():
        jobs = [sources[start : start + JOB] for start in range(0, len(sources), JOB)]
        rows: list[Floats] = []
        with ProcessPoolExecutor(PROCESSES, get_context("spawn"), initializer=_start) as pool:
            for found in pool.map(_encode, jobs):
                rows.append(found)
                progress(sum(map(len, rows)), len(sources))
        cache.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_suffix(".part.npy")
        np.save(unfinished, np.concatenate(rows))
        unfinished.rename(path)
    vectors: Floats = np.load(path)
    asked = np.array([query for _, _, query in sources])
    readable = vectors.any(axis=1)
    return vectors[readable & ~asked], vectors[readable & asked]


def around(vectors: Floats, count: int, seed: int) -> Floats:
    """So many vectors: the real ones first, then others around them, each of length 1."""
    real = vectors[:count]
    if len(real) == count:
        return real
    rng = np.random.default_rng(seed)
    cells = faiss.Kmeans(vectors.shape[1], max(1, len(vectors) // NEIGHBOURHOOD), seed=seed)
    cells.train(vectors)
    cell_of = cells.index.search(vectors, 1)[1][:, 0]
    order = np.argsort(cell_of, kind="stable")
    starts = np.searchsorted(cell_of[order], np.arange(cell_of.max() + 2))
    more = np.empty((count, vectors.shape[1]), np.float32)
    more[: len(real)] = real
    for start in range(len(real), count, 4096):
        size = min(4096, count - start)
        base = rng.integers(len(vectors), size=size)
        first, last = starts[cell_of[base]], starts[cell_of[base] + 1]
        one, other = (order[rng.integers(first, last)] for _ in range(2))
        more[start : start + size] = unit(vectors[base] + MOVED * (vectors[one] - vectors[other]))
    return more


def _sources(folder: Path) -> list[Source]:
    catalog = read_catalog(folder)
    found: list[Source] = []
    for product in catalog.products:
        for reference in (product.image, *product.images):
            path = reference and catalog.local_path(reference)
            if path is not None:
                found.append((str(path), product.text, False))
    for number, photo in enumerate(catalog.photos):
        path = catalog.local_path(photo.image)
        if path is not None:
            found.append((str(path), None, number % 10 == 0))
    return list(dict.fromkeys(found))


_encoder: list[Encoder] = []


def _start() -> None:
    _encoder[:] = [load_encoder(threads=1)]


def _encode(sources: Sequence[Source]) -> Floats:
    """Their vectors, zeros where a picture cannot be read."""
    encoder = _encoder[0]
    rows = np.zeros((len(sources), encoder.dim), np.float32)
    for number, (path, words, query) in enumerate(sources):
        try:
            picture = open_picture(Path(path))
            if query:
                [encoded] = encoder.encode_queries([picture], [None], BY_PICTURE)
            else:
                [encoded] = encoder.encode_items([picture], [words])
        except (ModelError, OSError):
            continue
        rows[number] = encoded.vector
    return rows
