"""The index is built anew from the topic, compared, and made live: with another model too."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import orjson
import pytest

from index.errors import ModelMismatch
from stream.delivery import Delivery
from tests.doubles.colours import ColourEncoder
from tests.doubles.dying_client import Crash, dying_at
from tests.workers.jobs.test_replay import (
    events,
    ingest_live,
    lookstream,
    publish,
    settings,
)
from workers.catalog_index import CatalogIndex, open_catalog
from workers.config.chosen_encoder import models_of
from workers.config.settings import Settings
from workers.errors import SettingsError
from workers.jobs.generations import list_generations, lookup
from workers.jobs.promotion import promote

__all__ = ["settings"]

LIVE = 18
"""Items that the events of `test_replay` leave."""


class OtherEncoder(ColourEncoder):
    """Another model: the same colours, in longer vectors."""

    model_id = "colour-10"
    dim = 10


def use(monkeypatch: pytest.MonkeyPatch, encoder: ColourEncoder) -> None:
    monkeypatch.setattr("workers.config.load_models.encoder_of", lambda _settings: encoder)


@contextmanager
def opened(settings: Settings, encoder: ColourEncoder) -> Iterator[CatalogIndex]:
    index = CatalogIndex(settings, encoder.model_id)
    try:
        yield index
    finally:
        index.close()


def collections(settings: Settings) -> list[str]:
    with open_catalog(settings)[0] as collection:
        return list(collection._client.call("list_collections"))


@pytest.mark.slow
def test_the_same_model_builds_the_same_index(settings: Settings) -> None:
    publish(settings, *events())
    live = asyncio.run(ingest_live(settings))
    before = collections(settings)
    planned = lookstream("reindex", "--dry-run")
    assert planned == {
        "into": "reindex",
        "model_id": "colour-8",
        "live_model_id": "colour-8",
        "live_items": LIVE,
        "begun_items": 0,
        "events": planned["events"],  # the embedded broker's watermarks are too low
    }
    assert planned["events"] > 0
    assert collections(settings) == before
    done = lookstream("reindex")
    assert (done["replayed"]["read"], done["caught_up"], done["promoted"]) == (64, 0, True)
    assert done["compared"]["live_items"] == done["compared"]["candidate_items"] == LIVE
    assert done["compared"]["same_model"]
    assert done["compared"]["overlap"] == 1.0
    for difference in ("missing", "added", "changed"):
        assert done["compared"][difference] == {"items": 0, "examples": []}
    with opened(settings, ColourEncoder()) as index:
        assert index.content_hash() == live
    assert len(collections(settings)) == 2
    assert collections(settings) != before
    (previous,) = list_generations(settings)
    assert (previous.name, previous.items) == ("previous", LIVE)


@pytest.mark.slow
def test_another_model_takes_over(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    publish(settings, *events())
    asyncio.run(ingest_live(settings))
    use(monkeypatch, OtherEncoder())
    with (
        opened(settings, OtherEncoder()) as index,
        pytest.raises(ModelMismatch, match="lookstream reindex"),
    ):
        index.count()
    done = lookstream("reindex")
    assert done["promoted"]
    assert not done["compared"]["same_model"]
    assert done["compared"]["overlap"] is None
    assert done["compared"]["changed"]["items"] == done["compared"]["missing"]["items"] == 0
    with opened(settings, OtherEncoder()) as index:
        assert index.count() == LIVE
    with opened(settings, ColourEncoder()) as index, pytest.raises(ModelMismatch):
        index.count()


@pytest.mark.slow
def test_a_backbone_is_chosen_over_that_of_the_settings(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(settings, *events())
    asyncio.run(ingest_live(settings))
    monkeypatch.setattr("workers.config.load_models.encoder_for", lambda _models: OtherEncoder())
    assert lookstream("reindex", "--backbone", "other", "--dry-run")["model_id"] == "colour-10"
    assert models_of(settings).backbone == "lite2"
    assert not lookstream("reindex", "--backbone", "other", "--keep")["promoted"]
    (begun,) = list_generations(settings)
    assert begun.model_id == "colour-10"
    candidate = lookup(settings, "reindex")
    assert candidate is not None
    assert candidate.models.backbone == "other"  # what goes on with it takes the same
    assert lookstream("reindex", "--backbone", "other")["promoted"]
    assert models_of(settings).backbone == "other"
    with opened(settings, OtherEncoder()) as index:
        assert index.count() == LIVE


@pytest.mark.slow
def test_the_first_index_can_be_built_from_the_topic(settings: Settings) -> None:
    with_nothing = lookstream("reindex", fails=True)
    assert isinstance(with_nothing, SettingsError)
    assert "no product in" in str(with_nothing)
    publish(settings, *events())
    done = lookstream("reindex")
    assert done["promoted"]
    assert done["compared"] is None
    with opened(settings, ColourEncoder()) as index:
        assert index.count() == LIVE


@pytest.mark.slow
def test_after_a_recording_the_topic_is_followed(settings: Settings, tmp_path: Path) -> None:
    file = tmp_path / "catalog.jsonl"
    publish(settings, *events())
    lookstream("record", "catalog", "--out", str(file))
    publish(
        settings,
        *events(first=20, count=5),
        ("p7", orjson.dumps({"type": "delete", "product_id": "p7", "version": 9})),
        ("p8", orjson.dumps({"type": "patch", "product_id": "p8", "price": 99.0})),
    )
    live = asyncio.run(ingest_live(settings))
    done = lookstream("reindex", "--file", str(file), "--yes")
    assert done["replayed"]["read"] == 64
    assert done["caught_up"] >= 17
    with opened(settings, ColourEncoder()) as index:
        assert index.content_hash() == live


@pytest.mark.slow
def test_it_continues_after_an_interruption(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(settings, *events())
    monkeypatch.setenv("LOOKSTREAM_INGEST__BATCH", "10")
    monkeypatch.setattr("workers.cli.replay_source.SAVE_EVERY_S", 0)
    deliver, batches = Delivery.deliver, 0

    async def interrupted(delivery: Any, batch: Any) -> Any:
        nonlocal batches
        batches += 1
        if batches == 4:
            raise KeyboardInterrupt
        return await deliver(delivery, batch)

    with monkeypatch.context() as patch:
        patch.setattr(Delivery, "deliver", interrupted)
        lookstream("reindex", fails=True)
    (left,) = list_generations(settings)
    assert 0 < left.items < LIVE
    assert lookstream("reindex", "--dry-run")["begun_items"] == left.items
    done = lookstream("reindex")
    assert done["replayed"]["read"] == 34
    assert done["promoted"]
    with opened(settings, ColourEncoder()) as index:
        assert index.count() == LIVE


@pytest.mark.slow
def test_a_generation_of_another_model_is_not_continued(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(settings, *events())
    asyncio.run(ingest_live(settings))
    assert not lookstream("reindex", "--keep")["promoted"]
    use(monkeypatch, OtherEncoder())
    for options in ([], ["--dry-run"]):
        error = lookstream("reindex", *options, fails=True)
        assert isinstance(error, SettingsError)
        assert "'colour-8'" in str(error)
        assert "--restart" in str(error)
    assert lookstream("reindex", "--restart", "--dry-run")["begun_items"] == 0
    assert lookstream("reindex", "--restart")["promoted"]
    with opened(settings, OtherEncoder()) as index:
        assert index.count() == LIVE


@pytest.mark.slow
def test_live_items_are_not_lost_without_consent(settings: Settings) -> None:
    publish(settings, *events())
    asyncio.run(ingest_live(settings))
    with opened(settings, ColourEncoder()) as index:  # written by an event that is gone by now
        (item,) = index.stored(["p5"])
        index.write([msgspec.structs.replace(item, item_id="old#0", product_id="old")])
    error = lookstream("reindex", fails=True)
    assert isinstance(error, SettingsError)
    assert "1 items of the live index" in str(error)
    assert "--yes" in str(error)
    with opened(settings, ColourEncoder()) as index:
        assert index.count() == LIVE + 1
    done = lookstream("reindex", "--yes")
    assert done["compared"]["missing"] == {"items": 1, "examples": ["old#0"]}
    with opened(settings, ColourEncoder()) as index:
        assert index.count() == LIVE


@pytest.mark.slow
@pytest.mark.parametrize("kafka", ["embedded"], indirect=True)  # it is Milvus that is called
def test_a_crash_at_any_call_of_the_promotion_is_completed_by_the_next_run(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(settings, *events())
    live = asyncio.run(ingest_live(settings))
    outcomes = set()
    for call in range(1, 100):
        lookstream("reindex", "--keep")
        try:
            with dying_at(call):
                asyncio.run(promote(settings, "reindex", ColourEncoder()))
        except Crash:
            pass
        else:
            break
        with opened(settings, ColourEncoder()) as index:
            assert index.content_hash() == live
        done = lookstream("reindex")
        assert done["promoted"]
        outcomes.add("replayed" in done)
        with opened(settings, ColourEncoder()) as index:
            assert index.content_hash() == live
        assert [one.name for one in list_generations(settings)] == ["previous"]
        assert len(collections(settings)) == 2, "nothing is left behind"
    assert outcomes == {True, False}, "some had gone live before"
