"""How fast search is beside its peers, while rows are written, and from ten thousand to a million.

Peers find the same ten, in one run: Milvus Lite over the whole collection, numpy over all vectors,
FAISS IVF with the same prototypes as cells and as many of them opened, hnswlib and usearch. Ours
also reads the rows that are found; the peers in memory only name them.
"""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import faiss
import hnswlib  # type: ignore[import-untyped]
import numpy as np
from numpy.typing import NDArray
from usearch.index import Index

from benchmarks.shop.picture_vectors import around
from index.item import Item
from index.prototypes.bank import PrototypeBank
from index.prototypes.kmeans import build
from index.prototypes.registry import BankRegistry
from index.search.retrieve import EXACT, Request
from index.search.table import ItemRow, ProductRows, Table
from index.vectors import Matrix, Rows
from models.juicer.juice import Juice
from workers.catalog_index import CatalogIndex
from workers.config.settings import Settings
from workers.progress.tasks import Progress

TOP = 10
BATCH = 500
WHOLE = 20
"""Queries of the whole collection: each takes long."""
PER_SECOND = 20
PADDING = 2200
"""Bytes of a juice, about those of sixteen tokens."""
MODEL = "bench"
EF_BUILD, EF_SEARCH = 100, 100
COARSE = 100
SIZES = (10_000, 100_000, 1_000_000)


@dataclass(frozen=True)
class Speed:
    """Where it is measured: real vectors, queries, and how many items are made around them."""

    vectors: Matrix
    queries: Matrix
    items: int
    uri: str
    folder: Path
    graphs: bool = True


def opened(uri: str, folder: Path) -> CatalogIndex:
    """An index as a worker has it."""
    settings = Settings.model_validate(
        {"data_dir": folder, "milvus": {"uri": uri, "kind": "lite", "collection": folder.name}}
    )
    return CatalogIndex(settings, MODEL)


def measure_speed(task: Speed, progress: Progress) -> dict[str, Any]:
    """The keys of `lookstream bench search` that say how fast it is."""
    vectors, queries = around(task.vectors, task.items, seed=0), task.queries
    with progress.task("building the prototypes"):
        bank = build(vectors, MODEL)
    registry = BankRegistry(task.folder)
    registry.put(bank)
    registry.make_current(bank.version)
    writer, reader = (opened(task.uri, task.folder) for _ in range(2))
    rate = write_items(writer, vectors, 0, progress)
    writer.flush()
    reader.warm()

    def ours(query: Matrix) -> set[int]:
        [found] = reader.find([Request(query, TOP, TOP)]).retrieved
        return {int(hit.item.item_id) for hit in found.hits}

    collection = reader.opened()
    assert collection is not None
    truth = [exact(vectors, query) for query in queries]
    probed = [reader.find([Request(q, TOP, TOP)]).retrieved[0].probed for q in queries]
    cells = float(np.mean([len(bank) if one is None else one.opened for one in probed]))
    peers: dict[str, Callable[[Matrix], set[int]]] = {
        "probe": ours,
        "exact": lambda query: exact(vectors, query),
        "faiss": ivf(vectors, bank, max(1, round(cells))),
    }
    if task.graphs:
        peers |= graphs(vectors, progress)
    found: dict[str, dict[str, float]] = {}
    for name, search in peers.items():
        with progress.task(f"searching: {name}", len(queries)) as step:
            found[name] = timed(search, queries, truth, step)
    with progress.task("searching: whole", WHOLE) as step:
        found["whole"] = timed(
            lambda q: {int(hit.item.item_id) for hit in collection.search(q[None], TOP)[0]},
            queries[:WHOLE],
            truth,
            step,
        )
    loaded = under_load(task, ours, vectors, progress)
    writer.close()
    reader.close()
    p50 = {name: one["p50_ms"] for name, one in found.items()}
    return {
        "speed_items": len(vectors),
        "real_vectors": min(len(task.vectors), len(vectors)),
        "p50_ms": p50["probe"],
        "p95_ms": found["probe"]["p95_ms"],
        "p50_over_full": round(p50["probe"] / p50["whole"], 4),
        "p50_over_exact": round(p50["probe"] / p50["exact"], 4),
        "p50_over_faiss": round(p50["probe"] / p50["faiss"], 2),
        "recall_10": found["probe"]["recall"],
        "opened": round(cells, 1),
        "prototypes": len(bank),
        "idle_ingest_per_s": round(rate),
        **loaded,
        "peers": found,
    }


def write_items(index: CatalogIndex, vectors: Matrix, first: int, progress: Progress) -> float:
    """Write vectors as items from a number on; returns how many per second went in."""
    started = time.perf_counter()
    with progress.task("writing items", len(vectors)) as step:
        for start in range(0, len(vectors), BATCH):
            index.write(items_of(vectors[start : start + BATCH], first + start))
            step(start)
    return len(vectors) / (time.perf_counter() - started)


def items_of(vectors: Matrix, first: int) -> list[Item]:
    """Items of one picture each, as the ingest worker makes them."""
    juice = Juice(grid=(1, 1)).to_bytes()
    juice += bytes(max(0, PADDING - len(juice)))
    return [
        Item(
            item_id=str(number),
            product_id=str(number),
            prototype=0,
            vector=vector,
            payload={"title": "a title of some length, as titles are", "category": ["kind"]},
            offer={"price": float(number)},
            juice=juice,
        )
        for number, vector in enumerate(vectors, start=first)
    ]


def exact(vectors: Matrix, query: Matrix) -> set[int]:
    """The ten nearest of all."""
    return set(np.argpartition(-(vectors @ query), TOP)[:TOP].tolist())


def ivf(vectors: Matrix, bank: PrototypeBank, opened_cells: int) -> Callable[[Matrix], set[int]]:
    """FAISS with the prototypes as cells."""
    quantizer = faiss.IndexFlatIP(bank.dim)
    index = faiss.IndexIVFFlat(quantizer, bank.dim, len(bank), faiss.METRIC_INNER_PRODUCT)
    quantizer.add(bank.centroids)
    index.is_trained = True
    index.add(vectors)
    index.nprobe = opened_cells
    return lambda query: set(index.search(query[None], TOP)[1][0].tolist())


def graphs(vectors: Matrix, progress: Progress) -> dict[str, Callable[[Matrix], set[int]]]:
    """The two libraries of graphs."""
    with progress.task("building hnswlib"):
        small_world = hnswlib.Index("ip", vectors.shape[1])
        small_world.init_index(len(vectors), M=16, ef_construction=EF_BUILD)
        small_world.add_items(vectors)
        small_world.set_ef(EF_SEARCH)
    with progress.task("building usearch"):
        other = Index(
            ndim=vectors.shape[1],
            metric="ip",
            expansion_add=EF_BUILD,
            expansion_search=EF_SEARCH,
        )
        other.add(np.arange(len(vectors)), vectors)
    return {
        "hnswlib": lambda query: set(small_world.knn_query(query, TOP)[0][0].tolist()),
        "usearch": lambda query: set(other.search(query, TOP).keys.tolist()),
    }


def timed(
    search: Callable[[Matrix], set[int]], queries: Matrix, truth: list[set[int]], step: Any
) -> dict[str, float]:
    """Recall@10 and milliseconds, one query at a time after a warm-up."""
    search(queries[0])
    seconds, recall = [], []
    for number, (query, expected) in enumerate(zip(queries, truth, strict=False)):
        started = time.perf_counter()
        found = search(query)
        seconds.append(time.perf_counter() - started)
        recall.append(len(found & expected) / TOP)
        step(number + 1)
    return {"recall": round(float(np.mean(recall)), 4), **_times(seconds)}


def under_load(
    task: Speed, search: Callable[[Matrix], set[int]], vectors: Matrix, progress: Progress
) -> dict[str, Any]:
    """Twenty queries a second, with and without another process that writes meanwhile."""
    idle = _paced(search, task.queries, len(task.queries))
    context = multiprocessing.get_context("spawn")
    results: Any = context.SimpleQueue()
    more = vectors[: min(len(vectors), 20_000)]
    args = (task.uri, task.folder, more, len(vectors), results)
    process = context.Process(target=_write_more, args=args)
    process.start()
    results.get()  # it has opened its collection
    with progress.task("searching while rows are written"):
        loaded: list[float] = []
        while process.is_alive():
            loaded += _paced(search, task.queries, PER_SECOND)
    process.join()
    rate = results.get()
    ratio = np.percentile(loaded, 95) / np.percentile(idle, 95)
    return {
        "ingest_per_s": round(rate),
        "loaded_p95_ratio": round(float(ratio), 2),
        "loaded_p95_ms": _times(loaded)["p95_ms"],
    }


def _write_more(uri: str, folder: Path, vectors: Matrix, first: int, results: Any) -> None:
    from workers.progress.open import open_progress  # noqa: PLC0415  in a process of its own

    index = opened(uri, folder)
    index.write(items_of(vectors[:1], first - 1))
    results.put(0.0)
    with open_progress(quiet=True) as progress:
        rate = write_items(index, vectors, first, progress)
    index.close()
    results.put(rate)


def _paced(search: Callable[[Matrix], set[int]], queries: Matrix, count: int) -> list[float]:
    """Seconds of queries that are asked `PER_SECOND` at even times; waiting for one counts."""
    began, seconds = time.perf_counter(), []
    for number in range(count):
        due = began + number / PER_SECOND
        time.sleep(max(0.0, due - time.perf_counter()))
        search(queries[number % len(queries)])
        seconds.append(time.perf_counter() - due)
    return seconds


def growth(vectors: Matrix, queries: Matrix, progress: Progress) -> dict[str, Any]:
    """Searches of the table alone at three sizes, keyed by prototypes of two levels."""
    took: dict[int, dict[str, float]] = {}
    for size in SIZES:
        with progress.task(f"a table of {size:,}", size) as step:
            table, truth = _table(vectors, queries, size, step)

        def search(query: Matrix, table: Table = table) -> set[int]:
            mask = table.select(None)
            if table.items <= EXACT:
                rows = table.rows(mask)
                near = table.similarities(rows, query)
                return set(rows[np.argpartition(-near, TOP)[:TOP]].tolist())
            return set(table.probe(query, TOP, mask, by_product=True).rows[:TOP].tolist())

        took[size] = timed(search, queries, truth, lambda _: None)
        del table, search
    return {
        "growth_10k_1m": round(took[SIZES[-1]]["p50_ms"] / took[SIZES[0]]["p50_ms"], 2),
        "growth": {str(size): one for size, one in took.items()},
    }


def _table(
    vectors: Matrix, queries: Matrix, size: int, step: Callable[[int], None]
) -> tuple[Table, list[set[int]]]:
    """A table of so many items, and the true ten of each query."""
    table, part = Table(), 50_000
    prototypes = two_levels(around(vectors, min(size, 4 * part), seed=1), size // 100)
    best = np.full((len(queries), TOP), -2, np.float32)
    rows = np.zeros((len(queries), TOP), np.int64)
    for start in range(0, size, part):
        some = around(vectors, min(part, size - start) + len(vectors), seed=start)
        some = some[len(vectors) :] if start else some[: min(part, size)]
        table.apply(
            [
                ProductRows(str(number), items=(ItemRow(str(number), vector, prototype),))
                for number, (vector, prototype) in enumerate(
                    zip(some, prototypes(some).tolist(), strict=True), start=start
                )
            ]
        )
        cosines = np.concatenate([best, queries @ some.T], axis=1)
        ids = np.concatenate(
            [rows, np.tile(np.arange(start, start + len(some)), (len(rows), 1))], 1
        )
        order = np.argpartition(-cosines, TOP, axis=1)[:, :TOP]
        best, rows = (np.take_along_axis(one, order, axis=1) for one in (cosines, ids))
        step(start + len(some))
    return table, [set(one.tolist()) for one in rows]


def two_levels(sample: Matrix, count: int) -> Callable[[Matrix], Rows]:
    """Assigns vectors to about `count` prototypes: the nearest of few, then of those below it."""
    coarse = _centres(sample, min(COARSE, max(1, count // 10)))
    nearest = (sample @ coarse.T).argmax(axis=1)
    each = max(1, count // len(coarse))
    fine = [_centres(sample[nearest == one], each) for one in range(len(coarse))]
    starts = np.cumsum([0, *map(len, fine)])

    def assign(vectors: Matrix) -> Rows:
        found: NDArray[np.int64] = np.zeros(len(vectors), np.int64)
        upper = (vectors @ coarse.T).argmax(axis=1)
        for one, below in enumerate(fine):
            mine = np.flatnonzero(upper == one)
            if len(mine) and len(below):
                found[mine] = starts[one] + (vectors[mine] @ below.T).argmax(axis=1)
        return found

    return assign


def _centres(vectors: Matrix, count: int) -> Matrix:
    if not len(vectors):
        return np.zeros((0, vectors.shape[1]), np.float32)
    kmeans = faiss.Kmeans(
        vectors.shape[1],
        min(count, len(vectors)),
        niter=8,
        spherical=True,
        min_points_per_centroid=1,
        max_points_per_centroid=64,
    )
    kmeans.train(np.ascontiguousarray(vectors))
    return np.asarray(kmeans.centroids, np.float32)


def _times(seconds: list[float]) -> dict[str, float]:
    return {
        f"p{percent}_ms": round(1000 * float(np.percentile(seconds, percent)), 3)
        for percent in (50, 95)
    }
