"""Rendering in a pool of processes, which write pictures and return rows.

Existing pictures are not rendered again.
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
from models.synthetic.near_duplicates import sample_product
from models.synthetic.photography import packshot, shopper_photo
from models.synthetic.rows import Row, photo_row, split_of
from models.synthetic.scene import Renderer

WEBP_QUALITY = 85


@dataclass(frozen=True)
class RenderJob:
    """The options that a process needs to render its part."""

    folder: Path
    seed: int
    photos: int
    size: int
    corruptions: tuple[str, ...]
    splits: dict[str, float]


def render_products(
    job: RenderJob, products: int, processes: int
) -> Iterator[tuple[int, int, list[Row]]]:
    """Index, pictures rendered and photo rows of each product, in the order of completion."""
    if processes == 1:
        yield from _render_products(job, range(products))
        return
    context = multiprocessing.get_context("spawn")
    results: Queue[object] = context.Queue()
    workers = [
        context.Process(
            target=_worker,
            args=(job, range(start, products, processes), results),
            daemon=True,
        )
        for start in range(processes)
    ]
    for worker in workers:
        worker.start()
    try:
        remaining = products
        while remaining:
            try:
                found = results.get(timeout=2)
            except Empty:
                failed = [one.exitcode for one in workers if one.exitcode]
                if failed:
                    raise SyntheticError(
                        f"a rendering process died (exit status {failed[0]}): run the same command "
                        "again to resume; with --processes 1 you see its output"
                    ) from None
                continue
            if isinstance(found, str):
                raise SyntheticError(found)
            yield found  # type: ignore[misc]
            remaining -= 1
    finally:
        for worker in workers:
            worker.terminate()
            worker.join()


def _worker(job: RenderJob, numbers: range, results: Queue[object]) -> None:
    """Run in a rendering process."""
    try:
        for found in _render_products(job, numbers):
            results.put(found)
    except SyntheticError as error:
        results.put(str(error))


def _render_products(job: RenderJob, numbers: range) -> Iterator[tuple[int, int, list[Row]]]:
    for index in numbers:
        product = sample_product(job.seed, index)
        shots = [(f"products/{product.product_id}.webp", packshot(product))]
        shots += [
            (
                f"photos/{product.product_id}-{number}.webp",
                shopper_photo(product, number, job.corruptions),
            )
            for number in range(job.photos)
        ]
        missing = [
            (job.folder / name, shot) for name, shot in shots if not (job.folder / name).exists()
        ]
        for path, shot in missing:
            # Opened only here, because it takes seconds and a complete folder needs none.
            picture = corrupt(open_renderer(job.size).render(shot.scene), shot.strengths, shot.seed)
            _save(picture, path)
        split = split_of(product, job.splits)
        rows = [
            photo_row(product, number, shot, split) for number, (_, shot) in enumerate(shots[1:])
        ]
        yield index, len(missing), rows


@lru_cache(maxsize=1)
def open_renderer(size: int) -> Renderer:
    """The renderer of this process: opening one takes longer than rendering dozens of pictures."""
    return Renderer(size)


def _save(picture: Picture, path: Path) -> None:
    """Write a picture atomically."""
    unfinished = path.with_suffix(".part")
    Image.fromarray(picture).save(unfinished, "WEBP", quality=WEBP_QUALITY, method=2)
    unfinished.replace(path)
