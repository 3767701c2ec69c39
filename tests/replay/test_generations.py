"""Streams over a switch of generations, with whoever switches killed at each step.

A stream is a JSON file of `generations`: events `before` a generation is built, `meanwhile` (the
ingest worker applies them, the builder has not seen them), and `late` ones, which come after the
kill. `kills` names each step and which generation is live once the one who switches was killed
there; `left` what the live catalog holds exactly, after `meanwhile` whatever was killed where, and
after `late` once a worker has started again and the command was run again.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any
from uuid import uuid4

import orjson
import pytest

from index.lifecycle.promote import generation_of
from stream.connection import Kafka
from stream.delivery import Delivery
from stream.publisher import Publisher
from stream.span_reader import Edge, Span, SpanReader
from stream.topics import create_topics
from tests.doubles.colours import ColourEncoder, picture_uri
from workers.catalog_index import CatalogIndex, open_catalog
from workers.config.settings import Settings
from workers.config.wiring import kafka_of, milvus_config_of, topics_of
from workers.ingest.steps import Ingest
from workers.intake.fetch import open_fetcher
from workers.jobs.build import open_follower
from workers.jobs.generations import (
    PREVIOUS,
    begin,
    list_generations,
    replay_group,
)
from workers.jobs.promotion import Promoted, promote, settle

pytestmark = pytest.mark.slow

STREAMS = sorted((Path(__file__).parent / "generations").glob("*.json"))


class Killed(BaseException):
    """The process is killed here; no `except Exception` may stop it."""


def cases() -> Iterator[Any]:
    for path in STREAMS:
        stream = orjson.loads(path.read_bytes())
        for step, live in stream["kills"].items():
            yield pytest.param(stream, step, live, id=f"{path.stem}-{step.replace(' ', '_')}")


@pytest.fixture
def settings(kafka: Kafka, tmp_path: Path) -> Settings:
    made = Settings.model_validate(
        {
            "data_dir": tmp_path / "data",
            "kafka": {"bootstrap": kafka.bootstrap, "prefix": f"g{uuid4().hex}"},
            "milvus": {"uri": str(tmp_path / "milvus.db"), "kind": "lite"},
            "ingest": {"weigh_parts": False},
        }
    )
    create_topics(kafka, topics_of(made))
    return made


def send(settings: Settings, events: Sequence[dict[str, Any]]) -> None:
    with Publisher(kafka_of(settings)) as publisher:
        for event in events:
            value = dict(event)
            if "image" in value:
                value["image"] = picture_uri(value["image"])
            key = event["product_id"]
            publisher.publish(topics_of(settings).catalog.name, key, orjson.dumps(value))


async def ingest(settings: Settings, *, killed_before_ack: bool = False) -> None:
    """What the ingest worker does from where its group is; nothing is committed if it is killed."""
    settle(settings)
    encoder, group = ColourEncoder(), settings.group("ingest")
    index = CatalogIndex(settings, encoder.model_id)

    async def refused(*letter: object) -> None:
        raise AssertionError(letter)

    topic = topics_of(settings).catalog.name
    with SpanReader(kafka_of(settings), topic, Span(Edge.LAST), group=group) as reader:
        async with open_fetcher(settings.intake) as fetcher:
            steps = Ingest(fetcher, encoder, index)
            if records := list(reader.further()):
                await Delivery(steps.prepare, steps.write, refused).deliver(records)
        if not killed_before_ack:
            reader.save()
    index.close()


async def build(settings: Settings) -> None:
    """A generation of all that the topic has."""
    candidate, encoder = begin(settings, "next"), ColourEncoder()
    group = replay_group(settings, candidate)
    async with open_follower(settings, candidate, encoder, group) as follower:
        await follower.catch_up()


async def switch(settings: Settings, name: str, *, killed_at: str = "") -> Promoted | None:
    def on_step(step: str) -> None:
        if step == killed_at:
            raise Killed

    try:
        return await promote(settings, name, ColourEncoder(), on_step=on_step)
    except Killed:
        return None


def left(settings: Settings) -> dict[str, list[Any]]:
    with open_catalog(settings)[0] as collection:
        return {
            item.product_id: [item.payload["title"], item.offer.get("price")]
            for page in collection.scan()
            for item in page
        }


def live(settings: Settings) -> str | None:
    return generation_of(milvus_config_of(settings), settings.milvus.collection)


def kept(settings: Settings) -> tuple[list[str], int]:
    """The names of the generations beside the live one, and how many collections there are."""
    with open_catalog(settings)[0] as collection:
        collections = collection._client.call("list_collections")
    return [one.name for one in list_generations(settings)], len(collections)


@pytest.mark.parametrize("killed_before_ack", [False, True], ids=["acked", "unacked"])
@pytest.mark.parametrize(("stream", "step", "expected"), list(cases()))
async def test_a_promotion_killed_at_any_step(
    settings: Settings, stream: dict[str, Any], step: str, expected: str, killed_before_ack: bool
) -> None:
    send(settings, stream["before"])
    await ingest(settings)
    await build(settings)
    old = live(settings)
    send(settings, stream["meanwhile"])
    await ingest(settings, killed_before_ack=killed_before_ack)
    assert await switch(settings, "next", killed_at=step) is None
    assert live(settings) == old if expected == "old" else live(settings) != old
    assert left(settings) == stream["left"]["meanwhile"]

    send(settings, stream["late"])
    await ingest(settings)
    assert left(settings) == stream["left"]["late"]
    if expected == "old":
        assert await switch(settings, "next")
    assert live(settings) != old
    assert left(settings) == stream["left"]["late"]
    assert kept(settings) == (["previous"], 2)


@pytest.mark.parametrize(("stream", "step", "expected"), list(cases()))
async def test_a_rollback_killed_at_any_step(
    settings: Settings, stream: dict[str, Any], step: str, expected: str
) -> None:
    send(settings, stream["before"])
    await ingest(settings)
    await build(settings)
    old = live(settings)
    assert await switch(settings, "next")
    new = live(settings)
    send(settings, stream["meanwhile"])
    await ingest(settings)
    assert await switch(settings, PREVIOUS, killed_at=step) is None
    assert live(settings) == {"old": new, "new": old}[expected]
    assert left(settings) == stream["left"]["meanwhile"]

    send(settings, stream["late"])
    await ingest(settings)
    assert left(settings) == stream["left"]["late"]
    if expected == "old":
        assert await switch(settings, PREVIOUS)
    assert live(settings) == old
    assert left(settings) == stream["left"]["late"]
    assert kept(settings) == (["previous"], 2)
    assert await switch(settings, PREVIOUS)
    assert (live(settings), left(settings)) == (new, stream["left"]["late"])


async def test_a_builder_killed_at_any_batch_goes_on(settings: Settings) -> None:
    (stream,) = [orjson.loads(path.read_bytes()) for path in STREAMS]
    send(settings, stream["before"])
    await ingest(settings)
    settings = settings.model_copy(
        update={"ingest": settings.ingest.model_copy(update={"batch": 1})}
    )
    candidate, group = begin(settings, "next"), ""
    group = replay_group(settings, candidate)
    for number in range(1, 4):
        async with open_follower(settings, candidate, ColourEncoder(), group) as follower:
            deliver, done = follower._builder.deliver, 0

            async def dying(batch: Any, until: float | None = None) -> None:
                nonlocal done
                if done == number:  # noqa: B023  it is called in this turn
                    raise Killed
                await deliver(batch, until)  # noqa: B023
                done += 1

            follower._builder.deliver = dying  # type: ignore[method-assign]
            with pytest.raises(Killed) if number < 3 else nullcontext():
                await follower.catch_up()
    send(settings, stream["meanwhile"])
    await ingest(settings)
    assert await switch(settings, "next")
    assert left(settings) == stream["left"]["meanwhile"]


async def test_events_that_come_at_the_gate_are_in_the_new_generation(settings: Settings) -> None:
    """What a writer had begun to write when the gate was asked to close."""
    (stream,) = [orjson.loads(path.read_bytes()) for path in STREAMS]
    send(settings, stream["before"])
    await ingest(settings)
    await build(settings)

    def on_step(step: str) -> None:
        if step == "close" and not ran:
            send(settings, stream["meanwhile"])
            ran.append(step)

    ran: list[str] = []
    promoted = await promote(settings, "next", ColourEncoder(), on_step=on_step)
    assert ran, "and it is tried again where the first time at the gate is too short"
    assert promoted.caught_up == len(stream["meanwhile"])
    assert left(settings) == stream["left"]["meanwhile"]
    await ingest(settings)
    assert left(settings) == stream["left"]["meanwhile"]
