"""Building a memory-mapped bank (`index.prototypes.mmap_bank`) in blocks.

The cells of the coarse index are found by k-means in two steps: a few wide cells first, each of
which is then divided by itself. That takes seconds where one-step k-means takes minutes, and gives
cells of as even sizes. Prefixes are product-quantised with 4 bits for every two values.
"""

import math
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import faiss
import numpy as np
import numpy.typing as npt
import orjson

from index.errors import BankError
from index.prototypes.bank import Name, PrototypeBank, check_names
from index.prototypes.mmap_bank import (
    BLOCK,
    CELL_SIZE,
    FORMAT,
    PREFIX,
    SCALE,
    MappedBank,
    hash_of,
    open_mapped,
    prefix_of,
)
from index.vectors import Matrix, check_unit_rows

SMALL = 20_000
"""Up to this many prototypes all prefixes are compared: cells would gain nothing."""
PER_CELL = 24
"""Prototypes that each cell centre is trained on."""
PQ_SAMPLE = 65_536
"""Prefixes that the product quantiser is trained on."""
WIDE_PROBED = 8
"""Wide cells searched for the cell of a prototype."""

Progress = Callable[[str, int, int], None]
"""Called with the step (write, train, add), the prototypes done, and their number."""


def build_mapped(
    directory: Path,
    vectors: npt.NDArray[np.floating[Any]],
    model_id: str,
    *,
    names: Sequence[Name] | None = None,
    version: str | None = None,
    seed: int = 0,
    on_progress: Progress | None = None,
) -> MappedBank:
    """Write the mapped form of a bank, and open it.

    Args:
        directory: must not exist, or be empty; removed if the build fails.
        vectors: (u, d) unit prototypes, float16 or float32; may be mapped from a file, since it is
            read in blocks. A million take about 1 GB of memory in addition, mostly prefixes.
        model_id: the model whose vectors they are.
        names: of the prototypes; row numbers if None.
        version: of the bank in memory that holds the same; the content's hash if there is none.
        seed: of the k-means.
        on_progress: see `Progress`.

    Raises:
        BankError: the folder is in use, or vectors or names cannot be a bank's.
    """
    if directory.exists() and any(directory.iterdir()):
        raise BankError(f"{directory} is not empty: name a new folder")
    if vectors.ndim != 2 or 0 in vectors.shape:
        raise BankError(f"prototypes must have the shape (u, d), not {vectors.shape}")
    check_names(range(len(vectors)) if names is None else names, len(vectors))
    report = on_progress or (lambda step, done, total: None)
    directory.mkdir(parents=True, exist_ok=True)
    try:
        prefixes = write_vectors(directory / "vectors.npy", vectors, report)
        if names is not None:
            (directory / "names.json").write_bytes(orjson.dumps(list(names)))
        index = coarse_index(prefixes, seed, report)
        faiss.write_index(index, str(directory / "coarse.faiss"))
        fractions = np.load(directory / "vectors.npy", mmap_mode="r", allow_pickle=False)
        content_hash = hash_of(fractions, names, model_id)
        card = {
            "format": FORMAT,
            "version": version or content_hash,
            "content_hash": content_hash,
            "model_id": model_id,
            "prototypes": len(vectors),
            "dim": int(vectors.shape[1]),
            "prefix": index.d,
            "cells": getattr(index, "nlist", 1),
            "bytes": sum(path.stat().st_size for path in directory.iterdir()),
        }
        # The card last: a folder without one is not a bank.
        (directory / "bank.json").write_bytes(orjson.dumps(card, option=orjson.OPT_INDENT_2))
    except BaseException:
        shutil.rmtree(directory, ignore_errors=True)
        raise
    return open_mapped(directory)


def map_bank(
    directory: Path, bank: PrototypeBank, *, seed: int = 0, on_progress: Progress | None = None
) -> MappedBank:
    """The mapped form of a bank in memory; see `build_mapped`."""
    return build_mapped(
        directory,
        bank.centroids,
        bank.model_id,
        names=bank.names if bank.named else None,
        version=bank.version,
        seed=seed,
        on_progress=on_progress,
    )


def write_vectors(path: Path, vectors: npt.NDArray[np.floating[Any]], report: Progress) -> Matrix:
    """Write prototypes as 16-bit fractions; returns their prefixes, float32 (u, ≤ 128)."""
    count, dim = vectors.shape
    length = min(PREFIX, dim)
    prefixes = np.empty((count, length), np.float32)
    fractions = np.lib.format.open_memmap(path, "w+", np.int16, (count, dim))
    for start in range(0, count, BLOCK):
        block = np.asarray(vectors[start : start + BLOCK], np.float32)
        check_unit_rows(block, f"prototypes from {start}")
        fractions[start : start + BLOCK] = np.rint(np.clip(block, -1, 1) * SCALE)
        prefixes[start : start + BLOCK] = prefix_of(block, length)
        report("write", min(start + BLOCK, count), count)
    fractions.flush()
    return prefixes


def coarse_index(prefixes: Matrix, seed: int, report: Progress) -> Any:
    """A FAISS index of prefixes by inner product, with row numbers as ids."""
    count, dim = prefixes.shape
    if count <= SMALL or dim % 2:
        flat = faiss.IndexFlatIP(dim)
        flat.add(prefixes)
        report("add", count, count)
        return flat
    rng = np.random.default_rng(seed)
    cells = count // CELL_SIZE
    sample = prefixes[np.sort(rng.choice(count, min(count, cells * PER_CELL), replace=False))]
    report("train", 0, count)
    wide, centres = two_step_means(sample, cells, seed)
    index = faiss.IndexIVFPQFastScan(
        wide, dim, len(centres), dim // 2, 4, faiss.METRIC_INNER_PRODUCT
    )
    index.train(sample[rng.permutation(len(sample))[:PQ_SAMPLE]])
    report("train", count, count)
    for start in range(0, count, BLOCK):
        index.add(prefixes[start : start + BLOCK])
        report("add", min(start + BLOCK, count), count)
    # `wide` almost always finds the nearest cell, enough for adding; queries search exactly.
    exact = faiss.IndexFlatIP(dim)
    exact.add(centres)
    exact.this.disown()  # type: ignore[attr-defined]  # of SWIG; the index owns it now
    index.quantizer, index.own_fields = exact, True
    return index


def two_step_means(sample: Matrix, cells: int, seed: int) -> tuple[Any, Matrix]:
    """About `cells` centres (c, d) of a sample's cells, and an index that finds the nearest."""
    coarse = spherical_means(sample, math.isqrt(cells), seed)
    nearest_wide = faiss.IndexFlatIP(sample.shape[1])
    nearest_wide.add(coarse)
    within = nearest_wide.search(sample, 1)[1][:, 0]
    sizes = np.bincount(within, minlength=len(coarse))
    shares = np.clip(np.round(sizes * cells / len(sample)).astype(int), 1, np.maximum(sizes, 1))
    centres = np.concatenate(
        [
            spherical_means(sample[within == number], int(shares[number]), seed)
            for number in np.flatnonzero(sizes)
        ]
    )
    index = faiss.IndexIVFFlat(
        nearest_wide, sample.shape[1], len(coarse), faiss.METRIC_INNER_PRODUCT
    )
    index.is_trained = True
    index.add(centres)
    index.nprobe = WIDE_PROBED
    return index, centres


def spherical_means(vectors: Matrix, count: int, seed: int) -> Matrix:
    """Centres (count, d) of unit vectors by spherical k-means."""
    kmeans = faiss.Kmeans(
        vectors.shape[1],
        count,
        niter=8,
        spherical=True,
        seed=seed,
        min_points_per_centroid=1,
        max_points_per_centroid=256,
    )
    kmeans.train(np.ascontiguousarray(vectors))
    centres: Matrix = np.asarray(kmeans.centroids, np.float32)
    return centres
