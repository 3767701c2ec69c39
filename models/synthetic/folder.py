"""A synthetic catalog folder: pictures rendered by a few processes, rows written last.

    DIR/products.jsonl, DIR/photos.jsonl   the catalog format (`models.catalog.folder`)
    DIR/products/ID.webp                   a packshot of each product
    DIR/photos/ID-K.webp                   shoppers' photos
    DIR/synthetic.json                     the options, and how much of it is complete

Rows have fields beyond the format: photos "box" [left, top, right, bottom] of the product in 0..1
and "corruptions" with their strengths; near duplicates "near_duplicate_of" and "changed". Readers
of the format ignore them. Existing pictures are not rendered again, so an interrupted call is
resumed, and a larger catalog keeps the pictures of a smaller one.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from time import perf_counter

import orjson

from models.catalog.folder import PHOTOS, PRODUCTS
from models.errors import SyntheticError
from models.images.corruptions import CORRUPTION_NAMES
from models.synthetic.near_duplicates import sample_product
from models.synthetic.render_pool import RenderJob, render_products
from models.synthetic.rows import SPLITS, Row, product_row, split_of

FORMAT = 1
"""Incremented when the same options give other pictures."""
OPTIONS = "synthetic.json"
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class SyntheticSummary:
    """The folder after a call to `write_synthetic_catalog`.

    Attributes:
        kinds: leaf categories.
        splits: products of each.
        rendered: pictures rendered by this call, out of `pictures`.
        seconds: duration of the call.
    """

    folder: Path
    products: int
    photos: int
    near_duplicates: int
    kinds: int
    splits: dict[str, int]
    pictures: int
    rendered: int
    seconds: float

    def report(self) -> dict[str, object]:
        """For JSON."""
        return {**asdict(self), "folder": str(self.folder)}


def write_synthetic_catalog(
    folder: Path,
    *,
    products: int,
    photos: int = 3,
    seed: int = 0,
    size: int = 256,
    corruptions: Sequence[str] = CORRUPTION_NAMES,
    splits: Mapping[str, float] = SPLITS,
    processes: int | None = None,
    progress: Progress = lambda done, total: None,
) -> SyntheticSummary:
    """Write a catalog of rendered products.

    Args:
        folder: created if missing; one written with other options is refused.
        products: number of products; product i does not depend on it.
        photos: shoppers' photos of each product.
        seed: of everything.
        size: side of the pictures in pixels.
        corruptions: of shoppers' photos, a subset of `CORRUPTION_NAMES`.
        splits: names and shares; products are split, so "test" has unseen ones.
        processes: by default one per core, two at most; 1 renders in this process.
        progress: called with the pictures that are done, and all.

    Raises:
        SyntheticError: an unknown corruption, a folder with another catalog, or no renderer.
    """
    started = perf_counter()
    _check(products, photos, size, corruptions, splits)
    chosen = tuple(name for name in CORRUPTION_NAMES if name in corruptions)
    job = RenderJob(folder, seed, photos, size, chosen, dict(splits))
    options = {
        "format": FORMAT,
        "seed": seed,
        "size": size,
        "corruptions": list(chosen),
        "splits": job.splits,
    }
    complete: Row = {"products": products, "photos": photos}
    total = products * (1 + photos)
    rendered = 0
    if _read_options(folder, options) != complete:
        for part in ("products", "photos"):
            (folder / part).mkdir(parents=True, exist_ok=True)
        _write_options(folder, options, None)
        count = min(processes or min(2, os.cpu_count() or 1), products)
        photo_rows: dict[int, list[Row]] = {}
        done = 0
        for index, new, rows in render_products(job, products, count):
            photo_rows[index] = rows
            rendered += new
            done += 1 + photos
            progress(done, total)
        _write_rows(job, products, photo_rows)
        _write_options(folder, options, complete)
    designs = [sample_product(seed, index) for index in range(products)]
    assigned = [split_of(one, splits) for one in designs]
    return SyntheticSummary(
        folder=folder,
        products=products,
        photos=products * photos,
        near_duplicates=sum(one.near_duplicate_of is not None for one in designs),
        kinds=len({one.kind_name for one in designs}),
        splits={name: assigned.count(name) for name in splits},
        pictures=total,
        rendered=rendered,
        seconds=round(perf_counter() - started, 2),
    )


def _write_rows(job: RenderJob, products: int, photo_rows: Mapping[int, list[Row]]) -> None:
    product_rows = (product_row(sample_product(job.seed, index)) for index in range(products))
    _write_lines(job.folder / PRODUCTS, product_rows)
    _write_lines(
        job.folder / PHOTOS, (row for index in range(products) for row in photo_rows[index])
    )


def _write_lines(path: Path, rows: Iterable[Row]) -> None:
    unfinished = path.with_suffix(".part")
    with unfinished.open("wb") as file:
        for row in rows:
            file.write(orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE))
    unfinished.replace(path)


def _write_options(folder: Path, options: Row, complete: Row | None) -> None:
    content = orjson.dumps({**options, "complete": complete}, option=orjson.OPT_INDENT_2)
    unfinished = (folder / OPTIONS).with_suffix(".part")
    unfinished.write_bytes(content + b"\n")
    unfinished.replace(folder / OPTIONS)


def _read_options(folder: Path, options: Row) -> object:
    """How much of the folder is complete, None for a new one.

    Raises:
        SyntheticError: it was written with other options, or holds another catalog.
    """
    path = folder / OPTIONS
    if not path.is_file():
        if (folder / PRODUCTS).exists() or (folder / PHOTOS).exists():
            raise SyntheticError(f"{folder} holds another catalog: choose a new folder")
        return None
    try:
        found = orjson.loads(path.read_bytes())
        complete = found.pop("complete", None)
    except (ValueError, AttributeError) as error:
        raise SyntheticError(f"{path} cannot be read ({error}): choose a new folder") from error
    other = [name for name, value in options.items() if found.get(name) != value]
    if other:
        raise SyntheticError(
            f"{folder} was written with other options ({', '.join(other)}): choose a new folder, "
            "or the same options to resume it"
        )
    return complete


def _check(
    products: int,
    photos: int,
    size: int,
    corruptions: Sequence[str],
    splits: Mapping[str, float],
) -> None:
    unknown = sorted(set(corruptions) - set(CORRUPTION_NAMES))
    if unknown:
        raise SyntheticError(
            f"no corruption {', '.join(unknown)}: there are {', '.join(CORRUPTION_NAMES)}"
        )
    if products < 1 or photos < 0 or not 32 <= size <= 2048:
        raise SyntheticError(
            f"{products} products, {photos} photos each, {size} px: at least 1 product, 0 photos, "
            "and 32 to 2048 px are needed"
        )
    if not splits or min(splits.values()) < 0 or sum(splits.values()) <= 0:
        raise SyntheticError(
            f"the shares of the splits must not be negative nor all 0: {dict(splits)}"
        )
