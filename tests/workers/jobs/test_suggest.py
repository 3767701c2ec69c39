"""`lookstream suggest`: what it says of a catalog, what it writes, and who reads it."""

import asyncio
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

import orjson
import pytest
from typer.testing import CliRunner

from stream.delivery import Delivery
from stream.records import Record
from tests.doubles.colours import ColourEncoder, data_uri
from tests.doubles.parted import COLOURS, KINDS, PartedEncoder, shown
from workers.catalog_index import CatalogIndex
from workers.cli import app
from workers.config.settings import Settings
from workers.errors import SettingsError
from workers.evidence.predicted_attributes import AttributePredictorFile
from workers.ingest.steps import Ingest
from workers.intake.fetch import open_fetcher
from workers.jobs.suggest import Suggested, suggest

SILENT = {"silent-0", "silent-1"}


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings.model_validate(
        {
            "data_dir": tmp_path / "data",
            "milvus": {"uri": str(tmp_path / "milvus.db"), "kind": "lite"},
        }
    )


@pytest.fixture
def encoder() -> PartedEncoder:
    return PartedEncoder()


@pytest.fixture
def indexed(settings: Settings, encoder: PartedEncoder) -> None:
    """60 products that say what they are, and two that do not."""
    rows = [
        {
            "product_id": f"p{at}",
            "title": f"{COLOURS[at % 3]} thing",
            "category": KINDS[at // 3 % 3],
            "image": data_uri(shown(at % 3, at // 3 % 3)),
        }
        for at in range(60)
    ]
    rows += [
        {"product_id": name, "title": "thing", "image": data_uri(shown(2, 1))} for name in SILENT
    ]

    async def run() -> None:
        with closing(CatalogIndex(settings, encoder.model_id)) as index:
            async with open_fetcher(settings.intake) as fetcher:
                steps = Ingest(fetcher, encoder, index)
                delivery = Delivery(steps.prepare, steps.write, refuse)
                await delivery.deliver([record(row, at) for at, row in enumerate(rows)])

    asyncio.run(run())


async def refuse(*what: object) -> None:
    pytest.fail(f"nothing here is rejected: {what}")


def record(row: Mapping[str, object], offset: int) -> Record:
    value = orjson.dumps({"type": "upsert", **row})
    time_ms = 1_700_000_000_000 + offset
    return Record(
        topic="t", partition=0, offset=offset, key=b"k", value=value, timestamp_ms=time_ms
    )


def run(settings: Settings, encoder: ColourEncoder, out: Path | None = None) -> Suggested:
    return suggest(settings, encoder, out, lambda _items: None)


@pytest.mark.usefixtures("indexed")
def test_products_that_say_nothing_are_predicted(
    settings: Settings, encoder: PartedEncoder, tmp_path: Path
) -> None:
    out = tmp_path / "suggestions.jsonl"
    found = run(settings, encoder, out)
    assert (found.products, found.colours, found.categories) == (62, 2, 2)
    assert [orjson.loads(line) for line in out.read_bytes().splitlines()] == [
        {"product_id": name, "colour": "blue", "category": ["Women", "Tops"]}
        for name in sorted(SILENT)
    ]
    predicted = {(one["kind"], one["name"]): one for one in found.json()["classes"]}
    assert predicted["category", "Women > Tops"] == {
        "kind": "category",
        "name": "Women > Tops",
        "products": 21,
        "predicted": 21,
        "right": 21,
    }
    assert predicted["colour", "red"]["right"] == 20


@pytest.mark.usefixtures("indexed")
def test_what_was_learned_is_where_the_ingest_worker_reads_it(
    settings: Settings, encoder: PartedEncoder
) -> None:
    run(settings, encoder)
    words = AttributePredictorFile(settings, encoder.model_id).read()
    assert words is not None
    assert words.products == 62


def test_without_an_index_it_says_what_to_do(settings: Settings, encoder: PartedEncoder) -> None:
    with pytest.raises(SettingsError, match="produce"):
        run(settings, encoder)


def test_nothing_is_predicted_from_vectors_without_parts(settings: Settings) -> None:
    with pytest.raises(SettingsError, match="no parts"):
        run(settings, ColourEncoder())


@pytest.mark.usefixtures("indexed")
def test_the_command_says_what_it_found(
    settings: Settings, encoder: PartedEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workers.config.settings.load_settings", lambda: settings)
    monkeypatch.setattr("workers.config.load_models.encoder_of", lambda _settings: encoder)
    result = CliRunner().invoke(app, ["suggest", "--quiet"])
    assert result.exit_code == 0
    assert "category Women > Tops" in result.stdout
    assert "a category is predicted for 2 that have none, and a colour for 2" in result.stderr
