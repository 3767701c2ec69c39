"""Rendering in a few processes: pictures are written as they are done, rows come back.

A picture that is there already is not rendered again.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from multiprocessing.queues import Queue
from pathlib import Path
from queue import Empty

from PIL import Image

from models.errors import SyntheticError
from models.images.corruptions import corrupt
from models.images.letterbox import Picture
from models.synthetic.near_duplicates import design
from models.synthetic.photography import on_white, photo
from models.synthetic.rows import Row, photo_row, split_of
from models.synthetic.scene import Renderer

QUALITY = 85


@dataclass(frozen=True)
class Order:
    """What a process needs to know to render its share."""

    folder: Path
    seed: int
    photos: int
    size: int
    corruptions: tuple[str, ...]
    splits: dict[str, float]


def rendered_products(
    order: Order, products: int, processes: int
) -> Iterator[tuple[int, int, list[Row]]]:
    """Product number, pictures rendered and photo rows, as they are done."""
    if processes == 1:
        yield from _share(order, range(products))
        return
    context = multiprocessing.get_context("spawn")
    results: Queue[object] = context.Queue()
    workers = [
        context.Process(
            target=_render_share,
            args=(order, range(start, products, processes), results),
            daemon=True,
        )
        for start in range(processes)
    ]
    for worker in workers:
        worker.start()
    try:
        left = products
        while left:
            try:
                found = results.get(timeout=2)
            except Empty:
                fallen = [one.exitcode for one in workers if one.exitcode]
                if fallen:
                    raise SyntheticError(
                        f"a rendering process died (exit status {fallen[0]}): run the same command "
                        "again, it goes on where it stopped; with one process you see its output"
                    ) from None
                continue
            if isinstance(found, str):
                raise SyntheticError(found)
            yield found  # type: ignore[misc]
            left -= 1
    finally:
        for worker in workers:
            worker.terminate()
            worker.join()


def _render_share(order: Order, numbers: range, results: Queue[object]) -> None:
    """Body of a rendering process."""
    try:
        for found in _share(order, numbers):
            results.put(found)
    except SyntheticError as error:
        results.put(str(error))


def _share(order: Order, numbers: range) -> Iterator[tuple[int, int, list[Row]]]:
    for index in numbers:
        made = design(order.seed, index)
        shots = [(f"products/{made.product_id}.webp", on_white(made))]
        shots += [
            (f"photos/{made.product_id}-{number}.webp", photo(made, number, order.corruptions))
            for number in range(order.photos)
        ]
        missing = [
            (order.folder / name, shot)
            for name, shot in shots
            if not (order.folder / name).exists()
        ]
        for path, shot in missing:
            # Opening takes seconds: not for a folder that is complete.
            picture = corrupt(opened(order.size).render(shot.scene), shot.strengths, shot.seed)
            _save(picture, path)
        split = split_of(made, order.splits)
        rows = [photo_row(made, number, shot, split) for number, (_, shot) in enumerate(shots[1:])]
        yield index, len(missing), rows


@lru_cache(maxsize=1)
def opened(size: int) -> Renderer:
    """The window of this process: opening one takes longer than dozens of pictures."""
    return Renderer(size)


def _save(picture: Picture, path: Path) -> None:
    """Write a picture so that a name never stands for half of one."""
    unfinished = path.with_suffix(".part")
    Image.fromarray(picture).save(unfinished, "WEBP", quality=QUALITY, method=2)
    unfinished.replace(path)
