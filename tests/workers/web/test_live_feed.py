"""The live feed tells of every topic that catalogs come from, by product."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import orjson
import pytest

from stream.codec import encode
from stream.connection import Kafka
from stream.messages import Outcomes
from stream.publisher import Publisher
from stream.topics import Topics, create_topics
from workers.config.settings import Settings
from workers.ingest.read_event import reader_of
from workers.web.gateway import Gateway
from workers.web.live_feed import LiveFeed, Watcher


@pytest.fixture
def kafka(embedded: Kafka) -> Kafka:
    return embedded


@pytest.fixture
def gateway(kafka: Kafka, topics: Topics) -> Iterator[Gateway]:
    made = Gateway(kafka, topics, timeout_s=20)
    yield made
    made.close()


async def first(watcher: Watcher, publisher: Publisher, topic: str, row: bytes) -> dict[str, Any]:
    """What is told of a record, which is sent until the feed has begun to read."""
    while True:
        publisher.publish(topic, b'{"id":7}', row)
        publisher.flush()
        try:
            told = await asyncio.wait_for(watcher.get(), 1)
        except TimeoutError:
            continue
        return dict(orjson.loads(told))


async def test_topics_of_others_are_told(kafka: Kafka, topics: Topics, gateway: Gateway) -> None:
    other = replace(topics.catalog, name=f"{topics.catalog.name}.others", partitions=1)
    create_topics(kafka, [other])
    catalog = {
        "topics": [other.name],
        "source": {"format": "unwrapped"},
        "map": {"product_id": "id", "title": "name"},
    }
    settings = Settings.model_validate({"catalog": catalog})
    feed = LiveFeed(kafka, (topics.catalog.name, other.name), reader_of(settings), gateway)
    row = b'{"id": 7, "name": "Oat milk"}'
    with Publisher(kafka) as publisher:
        async with feed.watch() as watcher:
            told = await first(watcher, publisher, other.name, row)
            assert (told["product_id"], told["state"], told["topic"]) == (
                "7",
                "arrived",
                other.name,
            )
            offset = int(told["event_id"].partition("-")[2])
            outcome = Outcomes(topic=other.name, partition=0, applied=(offset,))
            publisher.publish(topics.outcome.name, "k", encode(outcome))
            publisher.flush()
            while told["state"] == "arrived":
                told = orjson.loads(await asyncio.wait_for(watcher.get(), 20))
            assert (told["product_id"], told["state"]) == ("7", "searchable")
            mine = b'{"type": "patch", "product_id": "8", "price": 1}'
            assert (await first(watcher, publisher, topics.catalog.name, mine))["product_id"] == "8"
