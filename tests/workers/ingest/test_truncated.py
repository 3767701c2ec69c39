"""A JPEG that lacks its last bytes is indexed and counted; its producer is told."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import orjson
from structlog.testing import capture_logs

from models.catalog.coercion import Coercion
from stream.delivery import BatchResult, Delivery, Rejection
from stream.messages import Outcomes
from stream.outcomes import by_partition
from stream.records import Record
from tests.doubles.colours import ColourEncoder
from tests.hostile.case import data_uri
from tests.hostile.pictures import noisy
from workers.catalog_index import CatalogIndex
from workers.config.sections import IngestSettings, IntakeSettings
from workers.config.settings import Settings
from workers.deploy.telemetry import COERCED, TRUNCATED
from workers.ingest.steps import Ingest
from workers.intake.fetch import open_fetcher
from workers.jobs.produce import Produced

WHOLE = noisy("JPEG")
CUT = data_uri(WHOLE[:-2])
HALF = data_uri(WHOLE[: len(WHOLE) // 2])


class Delivered:
    """The deliveries of one ingest worker."""

    def __init__(self, steps: Ingest) -> None:
        self.letters: list[str] = []
        self._delivery = Delivery(steps.prepare, steps.write, self._dead_letter)

    async def __call__(self, *events: dict[str, Any]) -> BatchResult:
        return await self._delivery.deliver(
            [
                Record(
                    topic="t",
                    partition=0,
                    offset=10 + n,
                    key=None,
                    value=orjson.dumps({"type": "upsert", **event}),
                    timestamp_ms=10**12 + n,
                )
                for n, event in enumerate(events)
            ]
        )

    async def _dead_letter(self, _record: Record, rejection: Rejection, _attempts: int) -> None:
        self.letters.append(rejection.reason)


@asynccontextmanager
async def worker(folder: Path, **settings: Any) -> AsyncIterator[Delivered]:
    all_settings = Settings.model_validate(
        {"data_dir": folder, "milvus": {"uri": str(folder / "milvus.db"), "kind": "lite"}}
    )
    encoder = ColourEncoder()
    index = CatalogIndex(all_settings, encoder.model_id)
    async with open_fetcher(IntakeSettings()) as fetcher:
        yield Delivered(Ingest(fetcher, encoder, index, IngestSettings(**settings)))
    index.close()


def counted() -> tuple[float, float]:
    kind = COERCED.labels("ingest", Coercion.PICTURE_TRUNCATED.value)
    return kind._value.get(), TRUNCATED._value.get()


async def test_it_is_indexed_counted_logged_once_and_reported(tmp_path: Path) -> None:
    before = counted()
    async with worker(tmp_path) as deliver:
        with capture_logs() as logs:
            result = await deliver(
                {"product_id": "a", "image": CUT},
                {"product_id": "b", "image": data_uri(WHOLE)},
                {"product_id": "c", "images": ["data:image/png;base64,AAAA", CUT], "price": 1},
            )
    assert result == BatchResult(applied=3, partial=1)
    assert counted() == (before[0] + 2, before[1] + 2)
    (log,) = [one for one in logs if one.get("kind") == "picture_truncated"]
    assert "lack their last bytes" in log["meaning"]
    assert log["first"] == "a"
    (outcomes,) = by_partition(result.ended)
    assert outcomes.applied == (10, 11, 12)
    assert outcomes.coerced == {"picture_truncated": (10, 12)}
    report = Produced(sent=3, waiting={(0, 10): 1, (0, 11): 2})
    report.note(outcomes)
    assert report.json()["coerced"] == {"picture_truncated": 1}


async def test_too_little_of_it_is_a_dead_letter(tmp_path: Path) -> None:
    async with worker(tmp_path) as deliver:
        result = await deliver({"product_id": "a", "image": HALF})
        assert "the JPEG picture is truncated: only the first" in deliver.letters[0]
    assert result == BatchResult(dead_lettered=1)


async def test_strict_takes_none(tmp_path: Path) -> None:
    async with worker(tmp_path, strict=True) as deliver:
        result = await deliver({"product_id": "a", "image": CUT})
        assert "its last bytes are missing (ingest.strict)" in deliver.letters[0]
    assert result == BatchResult(dead_lettered=1)


def test_a_worker_of_a_later_version_may_coerce_more() -> None:
    report = Produced(sent=1, waiting={(0, 1): 1})
    report.note(Outcomes(topic="t", partition=0, applied=(1,), coerced={"something_new": (1,)}))
    assert report.applied == 1
    assert report.json()["coerced"] == {}
