"""Asking like a shop: filters, facets and lists against brute force, and what filtering costs.

    lookstream bench search [DIR...] [--products 10000] [--pictures 1] [--queries 300]
        [--items 100000] [--no-graphs] [--growth]

A catalog of products with random fields in an index of its own on Milvus Lite, asked as the query
worker asks. Every list and every count is compared with brute force in plain Python. Queries with
and without a filter take turns. Then 30 products of 12 pictures are asked a hundred times for ten.
With catalog folders, of real and rendered pictures, speed is measured too, see
`benchmarks.shop.search_speed`: `--items` vectors of their pictures, with others around them where
there are fewer, are asked by every tenth photo. The last line is one JSON object:

    items                 in the index
    filters_wrong         filters whose list is not that of brute force
    facets_wrong          facets with a wrong count
    filtered_p95_ratio    milliseconds of retrieval with a filter by those without one (p95)
    filtered_p50_ms, filtered_p95_ms, unfiltered_p50_ms, unfiltered_p95_ms
    short_lists           lists of fewer than ten products, where there are thirty
    patch_ms              from the end of a write until a filter has seen it (p95)
    load_s                to fill the table of a query worker that starts
    p50_ms, p95_ms        to find ten of `speed_items` and read their rows, on Milvus Lite
    real_vectors          so many of these items are pictures; the others are made around them
    p50_over_full         by the p50 of Milvus Lite over the whole collection
    p50_over_exact        by that of numpy over all vectors
    p50_over_faiss        by that of FAISS IVF with the same prototypes, as many of them opened
    recall_10             share of the true ten; peers' are in `peers`
    opened, prototypes    prototypes opened for a query (mean), of how many
    ingest_per_s          rows of ready-made vectors written while 20 queries a second are answered
    loaded_p95_ratio      p95 of these queries by that of the same without writing
    growth_10k_1m         with --growth: p50 of the table alone at 1,000,000 items by that at 10,000
    swap_queries, swap_failed, swap_mixed, switch_s, freshness_p99_ms, patch_encodings and others
                          as `lookstream bench generations` measures them, which runs them alone
    scene_found, scene_gap, scene_gap_of_all, scene_i_hr_1_given, scene_extra
                          of rendered scenes, see `benchmarks.juicing.scenes`
"""

from __future__ import annotations

import argparse
import random
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import orjson

from benchmarks import generations
from benchmarks.juicing.scenes import measure_scenes
from benchmarks.shop.picture_vectors import picture_vectors
from benchmarks.shop.search_speed import Speed, growth, measure_speed, opened
from index.item import Item
from index.search.facets import parse_facets
from index.search.filter import parse_filter
from index.search.retrieve import Request, Retrieved
from models.juicer.juice import Juice
from tests.index.search import brute_force
from tests.servers.milvus import LiteServer
from workers.catalog_index import CatalogIndex
from workers.index_maintenance import Repartitioning
from workers.progress.open import open_progress
from workers.progress.tasks import Progress

DIM = 768
TOP = 10
BLOCK = 100
BATCH = 500
PATCHES = 50
LISTS = 100


def catalog(products: int, pictures: int, seed: int) -> list[Item]:
    """Items with juice; vectors lie around centres, as products of kinds do."""
    rng = np.random.default_rng(seed)
    centres = rng.standard_normal((max(2, products // 50), DIM))
    juice = Juice(grid=(1, 1)).to_bytes()
    items = []
    for item in brute_force.products(products, dim=2, seed=seed, pictures=pictures):
        vector = centres[rng.integers(len(centres))] + 0.7 * rng.standard_normal(DIM)
        unit = (vector / np.linalg.norm(vector)).astype(np.float32)
        payload = item.payload | {"image": None, "caption": ""}
        items.append(msgspec.structs.replace(item, vector=unit, payload=payload, juice=juice))
    return items


def fill(index: CatalogIndex, items: Sequence[Item], progress: Progress) -> None:
    """Write items and key them by prototypes enough."""
    with progress.task("writing items", len(items)) as task:
        for start in range(0, len(items), BATCH):
            index.write(items[start : start + BATCH])
            task(start)
    Repartitioning(index, grace_s=0).check()
    index.flush()


def find(index: CatalogIndex, query: Any, text: str = "", facets: bool = False) -> Retrieved:
    """What one query finds."""
    counted = parse_facets(brute_force.FACETS) if facets else ()
    request = Request(query, BLOCK, BLOCK, parse_filter(text), counted)
    return index.find([request]).retrieved[0]


def compare(
    index: CatalogIndex, items: list[Item], queries: int, seed: int, progress: Progress
) -> dict[str, Any]:
    """Lists, counts and times with and without a filter."""
    brute, rng = brute_force.Catalog(items), random.Random(seed)
    lists_wrong = facets_wrong = 0
    filtered: list[float] = []
    unfiltered: list[float] = []
    with progress.task("asking", queries) as task:
        for number in range(queries):
            wanted, query = brute_force.random_filter(rng), rng.choice(items).vector
            started = time.perf_counter()
            found = find(index, query, wanted.text)
            asked = time.perf_counter()
            find(index, query)
            filtered.append(asked - started)
            unfiltered.append(time.perf_counter() - asked)
            passing = brute.passing(wanted)
            lists_wrong += not _same(found, brute.nearest(passing, query, BLOCK), len(passing))
            for one in find(index, query, wanted.text, facets=True).facets:
                got = {(brute_force.kind(c.value), c.value): c.count for c in one.counts if c.count}
                facets_wrong += got != brute.facet(one.facet.text, passing)
            task(number + 1)
    ratio = np.percentile(filtered, 95) / np.percentile(unfiltered, 95)
    return {
        "filters_wrong": lists_wrong,
        "facets_wrong": facets_wrong,
        "filtered_p95_ratio": round(float(ratio), 3),
        **_times("filtered", filtered),
        **_times("unfiltered", unfiltered),
    }


def _same(found: Retrieved, expected: list[tuple[str, float]], passing: int) -> bool:
    """Whether a list is the expected one; products that are equally near may change places."""
    cosines = [hit.similarity for hit in found.hits]
    known = dict(expected)
    return (
        found.found == passing
        and len(cosines) == len(expected)
        and np.allclose(cosines, [cosine for _, cosine in expected], atol=1e-5)
        and all(
            abs(known.get(hit.item.product_id, expected[-1][1]) - hit.similarity) < 1e-5
            for hit in found.hits
        )
    )


def _times(name: str, seconds: list[float]) -> dict[str, float]:
    return {
        f"{name}_p{percent}_ms": round(1000 * float(np.percentile(seconds, percent)), 2)
        for percent in (50, 95)
    }


def patches(writer: CatalogIndex, reader: CatalogIndex, items: list[Item], seed: int) -> float:
    """How long after a write a filter in another process's place has seen it: p95 in ms."""
    rng, took = random.Random(seed), []
    for number in range(PATCHES):
        item = rng.choice(items)
        price = 1000.0 + number
        stored = writer.stored([item.product_id])
        writer.write([msgspec.structs.replace(i, offer={"price": price}) for i in stored])
        started = time.perf_counter()
        while not find(reader, item.vector, f"price:={price}").hits:
            pass
        took.append(time.perf_counter() - started)
    return round(1000 * float(np.percentile(took, 95)), 2)


def short_lists(index: CatalogIndex, items: list[Item], seed: int) -> int:
    """How many of a hundred lists do not have ten products."""
    rng = random.Random(seed)
    lists = [find(index, rng.choice(items).vector).hits[:TOP] for _ in range(LISTS)]
    return sum(len({hit.item.product_id for hit in hits}) < TOP for hits in lists)


def main() -> None:
    """Run it and print one JSON object last."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("folders", nargs="*", type=Path, metavar="DIR")
    parser.add_argument("--items", type=int, default=100_000, help="where speed is measured")
    parser.add_argument("--asked", type=int, default=300, help="photos, at most")
    parser.add_argument("--no-graphs", action="store_true", help="neither hnswlib nor usearch")
    parser.add_argument("--growth", action="store_true", help="up to 1,000,000 items: 8 GB")
    parser.add_argument("--work", type=Path, default=Path("bench-search"), help="kept vectors")
    parser.add_argument("--products", type=int, default=10_000)
    parser.add_argument("--pictures", type=int, default=1, help="of a product, at most")
    parser.add_argument("--queries", type=int, default=300)
    parser.add_argument("--scenes", type=int, default=60, help="of three products each")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--swap-queries", type=int, default=10_000, help="while indexes are swapped; 0: no swaps"
    )
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as data:
        folder = Path(data)
        with LiteServer(folder / "lite") as server, open_progress() as progress:
            items = catalog(options.products, options.pictures, options.seed)
            writer, reader = (opened(server.uri, folder / "large") for _ in range(2))
            fill(writer, items, progress)
            started = time.perf_counter()
            reader.warm()
            load_s = time.perf_counter() - started
            found = compare(reader, items, options.queries, options.seed, progress)
            found["patch_ms"] = patches(writer, reader, items, options.seed)
            writer.close()
            reader.close()
            many = catalog(30, 1, options.seed)
            many = [
                msgspec.structs.replace(
                    item,
                    item_id=f"{item.product_id}#{picture}",
                    vector=_near(item, picture),
                )
                for item in many
                for picture in range(12)
            ]
            small = opened(server.uri, folder / "small")
            fill(small, many, progress)
            found["short_lists"] = short_lists(small, many, options.seed)
            small.close()
            if options.folders:
                found |= _speed(options, server.uri, folder / "speed", progress)
    if options.swap_queries:
        with open_progress() as progress:
            found |= generations.measure(1000, options.swap_queries, 20.0, progress)
    with open_progress() as progress:
        found |= measure_scenes(options.scenes, progress)
    print(orjson.dumps({"items": len(items), **found, "load_s": round(load_s, 2)}).decode())


def _speed(options: Any, uri: str, folder: Path, progress: Progress) -> dict[str, Any]:
    """How fast it is on the pictures of catalogs."""
    with progress.task("encoding pictures") as task:
        vectors, queries = picture_vectors(
            options.folders, options.work, progress=lambda done, _: task(done)
        )
    queries = queries[:: max(1, len(queries) // options.asked)][: options.asked]
    asked = Speed(vectors, queries, options.items, uri, folder, graphs=not options.no_graphs)
    found = measure_speed(asked, progress)
    return found | (growth(vectors, queries, progress) if options.growth else {})


def _near(item: Item, picture: int) -> Any:
    """Another picture of a product: nearer to its own than to those of other products."""
    noise = np.random.default_rng(picture).standard_normal(DIM)
    vector = item.vector + 0.5 * noise / np.linalg.norm(noise)
    return (vector / np.linalg.norm(vector)).astype(np.float32)


if __name__ == "__main__":
    main()
