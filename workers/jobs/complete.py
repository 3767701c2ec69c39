"""`produce --complete`: a folder that names every product there is, so that the others are deleted.

The index says what there is, not the topic: that is what shoppers find, it outlives the embedded
broker, and asking it does not read every picture that was ever sent. So events that are not
ingested yet do not count; whoever waits for them first misses none.

A product is named by any row whose id can be read, whatever else is wrong with the row. While the
id of one row cannot be read nothing is deleted, since it may be that of any product.
"""

from __future__ import annotations

import codecs
import json
import math
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from models.catalog.coerce import coerce_event
from models.errors import CatalogError
from stream.codec import encode
from stream.messages import ProductDelete
from stream.publisher import Publisher, wait_committed
from workers.catalog_index import open_catalog
from workers.config.settings import Settings
from workers.config.wiring import catalog_topics, kafka_of
from workers.deploy.lag import behind, group_lag
from workers.errors import SettingsError, TooManyDeletes
from workers.jobs.catalog_source import CatalogSource
from workers.jobs.evaluate import INGEST_TIMEOUT_S
from workers.jobs.produce import Produced

SHOWN = 100


@dataclass(frozen=True)
class NamedProducts:
    """The ids that a folder names, and the lines whose id cannot be read."""

    ids: frozenset[str]
    unreadable: tuple[int, ...] = ()


@dataclass(frozen=True)
class Missing:
    """Products of the index that a folder does not name, sorted; `known` is how many it has."""

    known: int
    ids: tuple[str, ...]

    @property
    def share(self) -> float:
        """Of the products in the index, 0..1."""
        return len(self.ids) / self.known if self.known else 0.0

    def __str__(self) -> str:
        return f"{len(self.ids):,} of {self.known:,} products ({100 * self.share:.1f} %)"

    def json(self) -> dict[str, object]:
        """The counts, and the first ids."""
        return {
            "known": self.known,
            "missing": len(self.ids),
            "share": round(self.share, 4),
            "first": list(self.ids[:SHOWN]),
        }


def named_products(source: CatalogSource) -> NamedProducts:
    """What the rows of a folder or feed name, their ids coerced as at ingest.

    Raises:
        CatalogError: there is no such file.
    """
    ids: dict[int, str | None] = {}
    for row in source.read():
        ids[row.line] = None if row.problem else _product_id(row.fields)
    if not source.mapped:
        unread = {line for line, one in ids.items() if one is None}
        for line, fields in _damaged(source.file, unread):
            ids[line] = _product_id(fields)
    return NamedProducts(
        frozenset(one for one in ids.values() if one is not None),
        tuple(line for line, one in ids.items() if one is None),
    )


def missing_products(settings: Settings, named: NamedProducts) -> Missing:
    """What the live index has and the folder does not name; nothing before there is an index.

    Raises:
        MilvusUnavailable: Milvus does not answer.
    """
    try:
        collection, _ = open_catalog(settings)
    except SettingsError:  # nothing was ever indexed
        return Missing(0, ())
    with collection:
        known = {item.product_id for page in collection.scan() for item in page}
    return Missing(len(known), tuple(sorted(known - named.ids)))


def check_share(missing: Missing, allowed: float) -> None:
    """Raise `TooManyDeletes` if more than this share (0..1) of the products would go."""
    if missing.share > allowed:
        enough = math.ceil(100 * missing.share) / 100
        raise TooManyDeletes(
            f"{missing} are not in it, and at most {100 * allowed:g} % may be deleted: is "
            "the export complete? Nothing was sent. To see which, give --dry-run; to delete them, "
            f"--delete-share {enough:g}"
        )


def wait_ingested(settings: Settings, on_progress: Callable[[int, int], None]) -> None:
    """Return when the ingest worker has finished all that is in the catalog's topics now.

    `on_progress` is called with the events finished since, and how many there were.

    Raises:
        DeliveryStuck: it finished nothing for a while.
    """
    lags = group_lag(settings, "ingest")
    total = behind(lags)
    before = 0
    for topic in catalog_topics(settings):
        ends = {one.partition: one.end for one in lags if one.lag and one.topic == topic}
        here = behind([one for one in lags if one.topic == topic])
        if ends:
            wait_committed(
                kafka_of(settings),
                settings.group("ingest"),
                topic,
                ends,
                timeout_s=INGEST_TIMEOUT_S,
                on_progress=_of_all(on_progress, before + here, total),
            )
        before += here


def _of_all(
    on_progress: Callable[[int, int], None], until_here: int, total: int
) -> Callable[[int], None]:
    """Progress over all topics, from how much is left of one."""
    return lambda left: on_progress(until_here - left, total)


def send_deletes(missing: Missing, publisher: Publisher, topic: str) -> Produced:
    """Send a delete for each missing product; the caller flushes. Lines count the deletes."""
    report = Produced()

    def delivered(number: int) -> Callable[[int, int], None]:
        return lambda partition, offset: report.waiting.update({(partition, offset): number})

    for number, (key, value) in enumerate(deletes(missing), start=1):
        publisher.publish(topic, key, value, on_delivered=delivered(number))
        report.sent += 1
    return report


def deletes(missing: Missing) -> Iterator[tuple[str, bytes]]:
    """(key, value) of one delete per missing product, at this time and without a version.

    So it wins over what has a version and what has none; a product with versions that comes back
    needs a higher one.
    """
    for product_id in missing.ids:
        event = ProductDelete(product_id=product_id, event_time=time.time_ns() // 1_000_000)
        yield product_id, encode(event)


def _product_id(fields: dict[str, Any]) -> str | None:
    """The id as the ingest worker would read it, whatever the other fields hold."""
    alone = {"type": "delete", "product_id": fields.get("product_id")}
    try:
        found = coerce_event(alone).fields["product_id"]
    except CatalogError:
        return None
    return found if isinstance(found, str) and found else None


def _damaged(file_path: Path, lines: set[int]) -> Iterator[tuple[int, dict[str, Any]]]:
    """The fields of lines that hold what JSON cannot, such as NaN; no lines that are no JSON."""
    with file_path.open("rb") as file:
        for number, text in enumerate(file, start=1) if lines else ():
            if number in lines:
                with suppress(ValueError, RecursionError):
                    fields = json.loads(text.removeprefix(codecs.BOM_UTF8))
                    if isinstance(fields, dict):
                        yield number, fields
