"""A catalog folder's product pictures in place of the sample, each with its item of the index."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass

from index.item import Item
from models.catalog.folder import Catalog
from models.errors import AdaptationError
from workers.errors import IntakeError
from workers.evidence.sample import SampledPicture
from workers.evidence.witnesses import SampledItem
from workers.ingest.items import picture_part
from workers.ingest.last_write_wins import item_id
from workers.intake.fetch import Fetcher
from workers.progress.tasks import Progress

MOST_PICTURES = 4000
"""From all over the folder: their views take two cores some five minutes."""

AHEAD = 8
"""Pictures that are fetched while another is waited for."""


@dataclass(frozen=True)
class NamedPicture:
    """A picture that the folder names, and the item that shows it."""

    reference: str
    item: Item


async def folder_pictures(
    catalog: Catalog, items: Iterable[Item], fetcher: Fetcher, progress: Progress
) -> list[SampledItem]:
    """The folder's pictures of products whose items these are, at most `MOST_PICTURES`.

    Photos are left out, and with a note pictures that are too many or cannot be had.

    Raises:
        AdaptationError: there are none.
    """
    named = _named_pictures(catalog, items)
    chosen = named[:: -(-len(named) // MOST_PICTURES) or 1]
    if len(chosen) < len(named):
        progress.note(f"{len(chosen):,} of {len(named):,} pictures are used, from all over")
    found, failed = [], []
    with progress.task("reading pictures", len(chosen)) as task:
        async for one, picture in _fetched(chosen, fetcher):
            if picture is None or isinstance(picture, IntakeError):
                failed.append(f"{one.item.item_id}: {picture or 'it is too narrow'}")
            else:
                found.append(SampledItem(picture, one.item))
            task(len(found) + len(failed))
    if failed:
        progress.note(f"{len(failed):,} pictures cannot be had and are left out: {failed[0]}")
    if not found:
        raise AdaptationError(
            f"no picture that {catalog.folder} names can be had: {failed[0]}"
            if failed
            else f"no picture that {catalog.folder} names is in the index: produce the folder "
            f"first (lookstream produce {catalog.folder})"
        )
    return found


def _named_pictures(catalog: Catalog, items: Iterable[Item]) -> list[NamedPicture]:
    by_id = {item.item_id: item for item in items if not item.is_tombstone}
    named = []
    for product in catalog.products:
        main = [product.image] if product.image else []
        for number, reference in enumerate(dict.fromkeys([*main, *product.images])):
            item = by_id.get(item_id(product.product_id, number))
            if item is not None:
                named.append(NamedPicture(catalog.locate(reference), item))
    return named


async def _fetched(
    chosen: Sequence[NamedPicture], fetcher: Fetcher
) -> AsyncIterator[tuple[NamedPicture, SampledPicture | IntakeError | None]]:
    """The pictures in order, `AHEAD` of them fetched beforehand."""
    fetching: deque[asyncio.Task[SampledPicture | IntakeError | None]] = deque()
    try:
        for number, one in enumerate(chosen):
            for other in chosen[number + len(fetching) : number + AHEAD]:
                fetching.append(asyncio.create_task(_fetch(other, fetcher)))
            yield one, await fetching.popleft()
    finally:
        for task in fetching:
            task.cancel()


async def _fetch(one: NamedPicture, fetcher: Fetcher) -> SampledPicture | IntakeError | None:
    """The picture as the sample keeps it; why it cannot be had; None if it is too narrow."""
    try:
        decoded = await fetcher.decode(await fetcher.fetch(one.reference))
    except IntakeError as error:
        return error
    return SampledPicture.of(one.item.product_id, picture_part(one.item.digest), decoded.picture)
