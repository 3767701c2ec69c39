"""With a Schema Registry messages carry the ids of their schemas, and every reader reads them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import httpx
import msgspec
import orjson
import pytest
from confluent_kafka import Consumer, TopicPartition

from stream import schema_registry
from stream.codec import decode, encode
from stream.connection import Kafka
from stream.errors import BrokerError
from stream.event_sender import EventSender
from stream.json_schema import MESSAGES, message_schemas
from stream.messages import Click, Result
from stream.publisher import Publisher
from stream.records import read_topic
from stream.schema_1 import encode_result
from stream.schema_registry import SchemaRegistry, framing, schema_ids, without_frame
from stream.topics import Topics
from tests.servers.schema_registry import FakeRegistry, running

CLICK = Click(click_id="c", query_id="q", product_id="7")


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is remembered between tests, and nothing is waited for between tries."""
    schema_ids.cache_clear()
    monkeypatch.setattr(schema_registry, "FIRST_WAIT_S", 0.0)
    monkeypatch.setattr(schema_registry, "MOST_WAIT_S", 0.0)


@pytest.fixture
def registry() -> Iterator[FakeRegistry]:
    with running(FakeRegistry()) as found:
        yield found


def test_every_schema_is_registered_once(registry: FakeRegistry) -> None:
    ids = schema_ids(SchemaRegistry(registry.url))
    assert ids.keys() == MESSAGES.keys()
    assert registry.subjects["lookstream.Click"] == ids["click"]
    kept = httpx.get(f"{registry.url}/schemas/ids/{ids['click']}").json()
    assert orjson.loads(kept["schema"]) == message_schemas()["click"]
    schema_ids(SchemaRegistry(registry.url))
    assert registry.requests == len(MESSAGES) + 1


def test_a_message_carries_the_id_of_its_schema(registry: FakeRegistry) -> None:
    where = SchemaRegistry(registry.url)
    frame, ids = framing(where), schema_ids(where)
    result = Result(query_id="q")
    for name, value in [
        ("click", encode(CLICK)),
        ("upsert", b'{"type": "upsert", "product_id": "7"}'),
        ("result", encode_result(result)),
        ("result-1", encode_result(msgspec.structs.replace(result, schema=1))),
    ]:
        framed = frame(value)
        assert framed == b"\x00" + ids[name].to_bytes(4, "big") + value
        assert without_frame(framed) == value
    for other in (None, b"", b"garbage", b'{"type": "unknown"}', b'{"id": 7}'):
        assert frame(other) == other
        assert without_frame(other) == other


@pytest.mark.parametrize("sender", ["publisher", "event sender"])
def test_producers_write_the_frame_and_readers_take_it_off(
    embedded: Kafka, topics: Topics, registry: FakeRegistry, sender: str
) -> None:
    kafka = replace(embedded, schema_registry=SchemaRegistry(registry.url))
    topic = topics.click.name
    if sender == "publisher":
        with Publisher(kafka) as publisher:
            publisher.publish(topic, "q", encode(CLICK))
    else:
        with EventSender(kafka) as events:
            events.send(topic, "q", encode(CLICK)).result(20)
    [record] = read_topic(embedded, topic)
    assert decode(record.value, Click) == CLICK
    consumer = Consumer(embedded.consumer("unused"))
    consumer.assign([TopicPartition(topic, record.partition, record.offset)])
    message = consumer.poll(20)
    consumer.close()
    assert message is not None
    assert (message.value() or b"")[:1] == b"\x00"


def test_credentials(registry: FakeRegistry) -> None:
    registry.login = "shop:word"
    with pytest.raises(BrokerError, match=r"Unauthorized.*kafka\.schema_registry_username"):
        schema_ids(SchemaRegistry(registry.url))
    where = SchemaRegistry(registry.url, "shop", "word")
    assert "word" not in repr(where)
    assert schema_ids(where)


def test_a_schema_that_is_not_compatible(registry: FakeRegistry) -> None:
    registry.incompatible = frozenset({"lookstream.Click"})
    with pytest.raises(BrokerError, match=r"lookstream\.Click.*PROPERTY_REMOVED"):
        schema_ids(SchemaRegistry(registry.url))


def test_what_fails_for_a_moment_is_tried_again(registry: FakeRegistry) -> None:
    registry.fails = 2
    assert schema_ids(SchemaRegistry(registry.url))
    schema_ids.cache_clear()
    registry.fails = 100
    with pytest.raises(BrokerError, match="no leader"):
        schema_ids(SchemaRegistry(registry.url))


def test_no_registry() -> None:
    with pytest.raises(BrokerError, match="no schema registry answers at http://127"):
        schema_ids(SchemaRegistry("http://127.0.0.1:1"))
