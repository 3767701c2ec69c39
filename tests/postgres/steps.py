"""Recorded events through the ingest worker's real steps: what the index holds then."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import orjson

from stream.delivery import Delivery, Rejection
from stream.records import Record
from tests.doubles.colours import ColourEncoder
from tests.postgres.shop import AFTERWARDS, CATALOG, LARGE, MOVED, NOT_DELETED, Mode
from workers.catalog_index import CatalogIndex
from workers.config.settings import Settings
from workers.ingest.read_event import reader_of
from workers.ingest.steps import Ingest
from workers.intake.fetch import open_fetcher

RECORDED = Path(__file__).parent / "recorded"
_LARGE = b"LARGE"
_TEXT = LARGE.encode()


async def applied(
    mode: Mode, records: Sequence[Record], folder: Path
) -> tuple[dict[str, Any], list[str]]:
    """The products in an index of its own, and the reasons of dead letters."""
    settings = settings_for(mode, folder)
    letters: list[str] = []

    async def bury(record: Record, why: Rejection, _attempts: int) -> None:
        letters.append(why.reason)

    encoder = ColourEncoder()
    index = CatalogIndex(settings, encoder.model_id)
    try:
        async with open_fetcher(settings.intake) as fetcher:
            steps = Ingest(fetcher, encoder, index, reader=reader_of(settings))
            for start in range(0, len(records), 3):
                await Delivery(steps.prepare, steps.write, bury).deliver(records[start : start + 3])
        found = index.stored([str(number) for number in range(20)])
    finally:
        index.close()
    names = ("title", "description", "category")
    products = {
        item.product_id: {name: item.payload[name] for name in names} | item.offer
        for item in found
        if not item.is_tombstone
    }
    return products, letters


def check(
    mode: Mode, products: dict[str, Any], letters: Sequence[str] | None, *, times: int = 1
) -> None:
    """Compare with the table after `tests.postgres.shop.changes`, sent so many times.

    Without letters those are not looked at.
    """
    wanted = dict(AFTERWARDS)
    refused = ["field `price`"]  # one below 0
    if mode.name == "outbox":
        refused.clear()
        del wanted[str(MOVED)], wanted["5"]
    else:  # the large text of a row that got another key is not logged
        del wanted[str(MOVED)]
        refused.append("there is no product '9' to take it from")
    if mode.name == "drop":
        wanted |= NOT_DELETED
    if mode.truncates:
        refused.append("the table was truncated")
    assert products == wanted
    if letters is None:
        return
    assert len(letters) == len(refused) * times
    for letter, reason in zip(letters, refused * times, strict=True):
        assert reason in letter


def settings_for(mode: Mode, folder: Path) -> Settings:
    """The settings of a deployment that reads the topic of one connector."""
    catalog = CATALOG | {"topics": [mode.topic], "source": {"format": mode.format}}
    if mode.name == "outbox":
        gone = {"deleted": "header.eventType = 'ProductRemoved'"}
        catalog |= {"when": gone}
    milvus = {"uri": str(folder / "milvus.db"), "kind": "lite"}
    return Settings.model_validate({"data_dir": folder, "milvus": milvus, "catalog": catalog})


def write_recorded(mode: Mode, records: Sequence[Record]) -> None:
    """Keep events as files; the large text is a word in them."""
    lines = [
        orjson.dumps(
            {
                "key": _text(one.key),
                "value": _text(one.value),
                "headers": [(name, _text(value)) for name, value in one.headers],
                "timestamp_ms": one.timestamp_ms,
            }
        )
        for one in records
    ]
    RECORDED.mkdir(exist_ok=True)
    _file(mode).write_bytes(b"\n".join(lines) + b"\n")


def read_recorded(mode: Mode) -> Iterator[Record]:
    """The events as they were sent."""
    for offset, line in enumerate(_file(mode).read_bytes().splitlines()):
        one = orjson.loads(line)
        yield Record(
            topic=mode.topic,
            partition=0,
            offset=offset,
            key=_bytes(one["key"]),
            value=_bytes(one["value"]),
            timestamp_ms=one["timestamp_ms"],
            headers=tuple((name, _bytes(value) or b"") for name, value in one["headers"]),
        )


def _file(mode: Mode) -> Path:
    return RECORDED / f"{mode.name}.jsonl"


def _text(data: bytes | None) -> str | None:
    return None if data is None else data.replace(_TEXT, _LARGE).decode()


def _bytes(text: str | None) -> bytes | None:
    return None if text is None else text.encode().replace(_LARGE, _TEXT)
