"""Probing a few prototypes, against search of the whole catalog and FAISS IVF with them as cells.

    lookstream bench probe [--items 20000] [--queries 200] [--uri http://127.0.0.1:19530]

Synthetic vectors (256-d, see `synthetic`) in the layout of a real index, one query at a time.
Without `--uri` a Milvus Lite server is started. Recall is against exact search by numpy. The last
line is one JSON object; times are p50 in ms.
"""

import argparse
import contextlib
import os
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import faiss
import numpy as np
import orjson

from index.item import Item
from index.milvus import lite_process
from index.milvus.collection import Collection
from index.milvus.config import MilvusConfig
from index.milvus.open import open_collection
from index.prototypes.bank import PrototypeBank
from index.prototypes.kmeans import build
from index.search.probe import choose, probe
from index.vectors import Matrix
from models.arrays import unit
from workers.progress.open import open_progress
from workers.progress.tasks import Progress, Task

DIM = 256
LATENT = 24
BATCH = 500
JUICE = 2200
"""Bytes of random juice per row, about those of sixteen tokens."""


def synthetic(items: int, queries: int, seed: int) -> tuple[Matrix, Matrix]:
    """Unit vectors (items, 256), and noisy copies of some of them (queries, 256).

    Clusters of unequal size that overlap in 24 latent dimensions, as categories do: the true
    neighbours of a query often belong to several prototypes.
    """
    rng = np.random.default_rng(seed)
    clusters = max(2, items // 100)
    centres = rng.standard_normal((clusters, LATENT))
    members = rng.choice(clusters, size=items, p=rng.dirichlet(np.full(clusters, 2.0)))
    latent = centres[members] + 0.7 * rng.standard_normal((items, LATENT))
    noisy = latent[rng.choice(items, size=queries, replace=False)]
    noisy = noisy + 0.5 * rng.standard_normal(noisy.shape)
    basis = np.linalg.qr(rng.standard_normal((DIM, LATENT)))[0].T
    return unit((latent @ basis).astype(np.float32)), unit((noisy @ basis).astype(np.float32))


@contextlib.contextmanager
def lite() -> Iterator[str]:
    """The address of a Milvus Lite server of our own."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = int(listener.getsockname()[1])
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as data:
        process = subprocess.Popen(
            lite_process.argv(Path(data), port),
            env=os.environ | lite_process.environment(),
            stdout=subprocess.DEVNULL,
        )
        try:
            lite_process.wait_ready(f"http://127.0.0.1:{port}")
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
            process.wait()


def fill(collection: Collection, bank: PrototypeBank, vectors: Matrix, progress: Progress) -> float:
    """Write all items and return how many per second went in."""
    prototypes, _ = bank.assign(vectors)
    juice = np.random.default_rng(0).bytes(JUICE)
    started = time.perf_counter()
    writing = progress.task("writing items", len(vectors))
    for start in range(0, len(vectors), BATCH):
        writing(start)
        collection.write(
            [
                Item(
                    item_id=str(number),
                    product_id=str(number),
                    prototype=int(prototypes[number]),
                    vector=vectors[number],
                    payload={"title": "a title of some length, as titles are"},
                    juice=juice,
                )
                for number in range(start, min(start + BATCH, len(vectors)))
            ]
        )
    rate = len(vectors) / (time.perf_counter() - started)
    writing(len(vectors))
    writing.finish()
    collection.flush()
    return rate


def measure(
    search: Callable[[Matrix], set[int]], queries: Matrix, truth: list[set[int]], task: Task
) -> dict[str, float]:
    """Recall and p50 milliseconds of a search, one query at a time after a warm-up."""
    search(queries[:1])
    seconds, recall = [], []
    for number, expected in enumerate(truth):
        started = time.perf_counter()
        found = search(queries[number : number + 1])
        seconds.append(time.perf_counter() - started)
        recall.append(len(found & expected) / len(expected))
        task(number + 1)
    return {
        "recall": round(float(np.mean(recall)), 4),
        "p50_ms": round(float(np.median(seconds)) * 1e3, 3),
    }


def compare(
    uri: str, kind: Any, items: int, count: int, limit: int, seed: int, progress: Progress
) -> dict[str, Any]:
    """Fill a collection and measure every search method on it."""
    vectors, queries = synthetic(items, count, seed)
    truth = [set(np.argsort(-row)[:limit].tolist()) for row in queries @ vectors.T]
    with progress.task("building the bank"):
        bank = build(vectors, "synthetic", seed=seed)
    quantizer = faiss.IndexFlatIP(DIM)
    ivf = faiss.IndexIVFFlat(quantizer, DIM, len(bank), faiss.METRIC_INNER_PRODUCT)
    quantizer.add(bank.centroids)
    ivf.is_trained = True
    ivf.add(vectors)
    chosen = choose(bank, queries, items / len(bank), limit)
    probes = [len(bank) if picked is None else len(picked) for picked in chosen]
    ivf.nprobe = round(float(np.mean(probes)))

    store = MilvusConfig(uri=uri, kind=kind, consistency="Strong" if kind == "lite" else "Bounded")
    with open_collection(store, bank, f"bench_{time.time_ns()}") as collection:
        rate = fill(collection, bank, vectors, progress)
        collection.count()  # waits until all rows are visible

        def ids(hits: Any) -> set[int]:
            return {int(hit.item.item_id) for hit in hits[0]}

        methods: dict[str, Callable[[Matrix], set[int]]] = {
            "probe": lambda query: ids(probe(collection, bank, query, limit)),
            "whole": lambda query: ids(collection.search(query, limit)),
            "faiss_ivf": lambda query: set(ivf.search(query, limit)[1][0].tolist()),
            "numpy": lambda query: set(np.argsort(-(query @ vectors.T)[0])[:limit].tolist()),
        }
        found: dict[str, Any] = {}
        for name, search in methods.items():
            with progress.task(f"searching: {name}", count) as task:
                found[name] = measure(search, queries, truth, task)
            recall, ms = found[name]["recall"], found[name]["p50_ms"]
            print(f"{name:10} recall@{limit} {recall:.3f}  {ms} ms")
        collection.drop_all()
    return found | {
        "kind": kind,
        "items": items,
        "prototypes": len(bank),
        "probed": float(np.mean(probes)),
        "limit": limit,
        "ingest_per_s": round(rate),
    }


def main() -> None:
    """Run the comparison and print one JSON object last."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--items", type=int, default=20_000)
    parser.add_argument("--queries", type=int, default=200)
    parser.add_argument("--limit", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--uri", help="a Milvus server; without it, a Milvus Lite of our own")
    options = parser.parse_args()
    server = contextlib.nullcontext(options.uri) if options.uri else lite()
    with server as uri, open_progress() as progress:
        kind = "server" if options.uri else "lite"
        found = compare(
            uri, kind, options.items, options.queries, options.limit, options.seed, progress
        )
    print(orjson.dumps(found).decode())


if __name__ == "__main__":
    main()
