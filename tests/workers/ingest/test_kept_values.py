"""Values that a record leaves out: filled in where somebody has them, refused where nobody has."""

from pathlib import Path
from typing import Any

import orjson
import pytest

from stream.records import Record
from tests.doubles.colours import picture_png
from tests.doubles.debezium import UNAVAILABLE
from tests.workers.ingest.test_debezium_replay import FIRST_MS, TOPIC, Worker, settings_of

CATALOG = {
    "topics": [TOPIC],
    "map": {"product_id": "id", "title": "name", "description": "descr", "image": "img",
            "images": "pics"},
}  # fmt: skip


class Shop:
    """Records of one row, delivered in one batch each time."""

    def __init__(self, folder: Path) -> None:
        for name in ("a", "b", "c"):
            (folder / f"{name}.png").write_bytes(picture_png("red"))
        self._folder = folder
        self._sent = 0
        self._records: list[Record] = []
        self._worker = Worker(settings_of(folder, CATALOG))
        self.letters = self._worker.letters

    def picture(self, name: str) -> str:
        return str(self._folder / f"{name}.png")

    async def send(self, *rows: dict[str, Any] | None) -> dict[str, Any] | None:
        """The rows as updates, None as a delete; the product afterwards."""
        for row in rows:
            self._sent += 1
            change = {
                "op": "d" if row is None else "u",
                "before": {"id": 7} if row is None else None,
                "after": None if row is None else {"id": 7, **row},
                "source": {"lsn": self._sent},
            }
            self._records.append(
                Record(topic=TOPIC, partition=0, offset=len(self._records), key=b'{"id":7}',
                       value=orjson.dumps(change), timestamp_ms=FIRST_MS + self._sent)
            )  # fmt: skip
        await self._worker.run(self._records, {}, batch=100)
        found: dict[str, Any] | None = self._worker.products().get("7")
        return found


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return Shop(tmp_path)


def row(**columns: Any) -> dict[str, Any]:
    return {"name": "n", "descr": "d", "img": None, "pics": None, **columns}


async def test_the_event_before_has_it_wherever_it_is(shop: Shop) -> None:
    full = row(descr="first", img=shop.picture("a"))
    kept = row(name="other", descr=UNAVAILABLE, img=shop.picture("a"))
    both = await shop.send(full, kept)  # in one batch
    assert both is not None
    assert (both["title"], both["description"]) == ("other", "first")
    later = await shop.send(row(name="third", descr=UNAVAILABLE, img=shop.picture("a")))
    assert later is not None
    assert (later["title"], later["description"]) == ("third", "first")
    assert shop.letters == []


async def test_nobody_has_what_was_never_seen_or_is_deleted(shop: Shop) -> None:
    assert await shop.send(row(descr=UNAVAILABLE)) is None
    assert "the record leaves out description" in shop.letters[0]
    assert "REPLICA IDENTITY FULL" in shop.letters[0]
    assert await shop.send(row(), None, row(descr=UNAVAILABLE)) is None
    assert len(shop.letters) == 2


@pytest.mark.slow
async def test_pictures(shop: Shop) -> None:
    a, b = shop.picture("a"), shop.picture("b")
    await shop.send(row(img=a, pics=[b]))
    kept = await shop.send(row(name="x", img=a, pics=UNAVAILABLE))
    assert kept is not None
    assert kept["image"] in (a, b)
    assert (await shop.send(row(img=UNAVAILABLE, pics=UNAVAILABLE))) is not None
    assert shop.letters == []
    await shop.send(row(img=shop.picture("c"), pics=UNAVAILABLE))
    assert "which of the known pictures it stands for cannot be told" in shop.letters[0]
