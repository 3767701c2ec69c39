"""A catalog folder from the studio: pictures rendered by a few processes, rows written last.

    DIR/products.jsonl, DIR/photos.jsonl   the catalog format (`models.catalog.folder`)
    DIR/products/ID.webp                   one picture on white per product
    DIR/photos/ID-K.webp                   shoppers' photos
    DIR/studio.json                        the options, and how much of it is complete

Rows of photos carry more than the format asks: "box" [left, top, right, bottom] of the product in
0..1 and "disturbances" with their strengths; rows of twins carry "near_duplicate_of" and "changed".
Readers ignore what they do not know. Pictures that are there already are not rendered again, so an
interrupted call goes on where it stopped, and a larger catalog keeps what a smaller one had.
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
from models.synthetic.near_duplicates import design
from models.synthetic.render_pool import Order, rendered_products
from models.synthetic.rows import SPLITS, Row, product_row, split_of

FORMAT = 1
"""Changes when the same seed gives other pictures."""
OPTIONS = "studio.json"
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class SyntheticSummary:
    """What a call to `write_synthetic_catalog` left in the folder.

    Attributes:
        rendered: pictures rendered by this call, out of `pictures`.
        seconds: it took.
    """

    folder: Path
    products: int
    photos: int
    twins: int
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
        folder: made if need be; one made with other options is refused.
        products: how many; product i is the same whatever this is.
        photos: shoppers' photos of each.
        seed: of everything.
        size: pixels of a picture's side.
        disturbances: which may happen to photos, see `disturbances.CORRUPTION_NAMES`.
        splits: names and shares; products are split, so "test" shows unseen ones.
        processes: by default one per core, two at most; 1 renders in this process.
        progress: called with the number of pictures seen to, and all.

    Raises:
        SyntheticError: an unknown disturbance, a folder with other pictures, or no renderer here.
    """
    started = perf_counter()
    _check(products, photos, size, corruptions, splits)
    wanted = tuple(name for name in CORRUPTION_NAMES if name in corruptions)
    order = Order(folder, seed, photos, size, wanted, dict(splits))
    options = {
        "format": FORMAT,
        "seed": seed,
        "size": size,
        "disturbances": list(wanted),
        "splits": order.splits,
    }
    complete: Row = {"products": products, "photos": photos}
    total = products * (1 + photos)
    known = _read_options(folder, options)
    rendered = 0
    if known != complete:
        for part in ("products", "photos"):
            (folder / part).mkdir(parents=True, exist_ok=True)
        _write_options(folder, options, None)
        count = min(processes or min(2, os.cpu_count() or 1), products)
        photo_rows: dict[int, list[Row]] = {}
        done = 0
        for index, fresh, rows in rendered_products(order, products, count):
            photo_rows[index] = rows
            rendered += fresh
            done += 1 + photos
            progress(done, total)
        _write_rows(order, products, photo_rows)
        _write_options(folder, options, complete)
    made = [design(seed, index) for index in range(products)]
    parts = [split_of(one, splits) for one in made]
    return SyntheticSummary(
        folder=folder,
        products=products,
        photos=products * photos,
        twins=sum(one.near_duplicate_of is not None for one in made),
        kinds=len({one.kind_name for one in made}),
        splits={name: parts.count(name) for name in splits},
        pictures=total,
        rendered=rendered,
        seconds=round(perf_counter() - started, 2),
    )


def _write_rows(order: Order, products: int, photo_rows: Mapping[int, list[Row]]) -> None:
    made = (product_row(design(order.seed, index)) for index in range(products))
    _write_lines(order.folder / PRODUCTS, made)
    shot = (row for index in range(products) for row in photo_rows[index])
    _write_lines(order.folder / PHOTOS, shot)


def _write_lines(path: Path, rows: Iterable[Row]) -> None:
    unfinished = path.with_suffix(".part")
    with unfinished.open("wb") as file:
        for row in rows:
            file.write(orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE))
    unfinished.replace(path)


def _write_options(folder: Path, options: Row, complete: Row | None) -> None:
    content = orjson.dumps({**options, "complete": complete}, option=orjson.OPT_INDENT_2)
    unfinished = folder / "studio.part"
    unfinished.write_bytes(content + b"\n")
    unfinished.replace(folder / OPTIONS)


def _read_options(folder: Path, options: Row) -> object:
    """How much of the folder is complete, None if nothing is known.

    Raises:
        SyntheticError: it was made with other options, or holds another catalog.
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
            f"{folder} was made with other options ({', '.join(other)}): choose a new folder, or "
            "the same options to go on with it"
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
            f"no disturbance {', '.join(unknown)}: there are {', '.join(CORRUPTION_NAMES)}"
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
