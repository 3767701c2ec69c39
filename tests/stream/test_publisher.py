"""What was published is durable and found again; what was refused is kept with its reason."""

import asyncio
import os
import time
from dataclasses import replace

import pytest
from confluent_kafka import Consumer, TopicPartition

from stream.connection import Kafka
from stream.dead_letter import DeadLetters, parse, read_dead_letters, redrive
from stream.delivery import Record, Rejection
from stream.errors import BrokerError, DeliveryStuck, Transient
from stream.publisher import Publisher, wait_committed
from stream.records import read_topic
from stream.topics import Topics, topic_map


def test_published_records_are_read_back(kafka: Kafka, topics: Topics) -> None:
    picture = os.urandom(5_000_000)
    with Publisher(kafka) as publisher:
        for i in range(500):
            publisher.publish(topics.catalog.name, f"k{i}", b"%d" % i, [("h", b"x")], 1000 + i)
        publisher.publish(topics.catalog.name, "big", picture)
        publisher.publish(topics.catalog.name, None, None)
        ends = publisher.flush()[topics.catalog.name]
    records = list(read_topic(kafka, topics.catalog.name))
    assert len(records) == 502
    assert {r.key: r for r in records}[b"big"].value == picture
    small = sorted((r for r in records if r.headers), key=lambda r: r.timestamp_ms)
    assert [r.value for r in small] == [b"%d" % i for i in range(500)]
    assert [r.timestamp_ms for r in small] == list(range(1000, 1500))
    last = {p: max(r.offset for r in records if r.partition == p) + 1 for p in ends}
    assert ends == last


def test_what_is_too_large_is_refused_at_once(embedded: Kafka) -> None:
    with Publisher(embedded) as publisher, pytest.raises(BrokerError, match="too large"):
        publisher.publish("any", "k", bytes(17_000_000))


def test_undelivered_is_said_so() -> None:
    publisher = Publisher(Kafka(bootstrap="127.0.0.1:1"), timeout_s=1)
    publisher.publish("any", "k", b"v")
    with pytest.raises(BrokerError, match="1 messages were not delivered"):
        publisher.flush()
    assert publisher.flush() == {}


def test_waiting_for_a_group(kafka: Kafka, topics: Topics) -> None:
    topic, group = topics.click.name, f"group-{topics.click.name}"
    wait_committed(kafka, group, topic, {}, timeout_s=0)
    seen: list[int] = []
    with pytest.raises(DeliveryStuck, match=r"committed nothing of .* 5 records to go"):
        wait_committed(kafka, group, topic, {0: 3, 1: 2}, timeout_s=0.5, on_progress=seen.append)
    consumer = Consumer(kafka.consumer(group))
    places = [TopicPartition(topic, 0, 3), TopicPartition(topic, 1, 2)]
    consumer.commit(offsets=places, asynchronous=False)
    consumer.close()
    wait_committed(kafka, group, topic, {0: 3, 1: 2}, timeout_s=5, on_progress=seen.append)
    assert (seen[0], seen[-1]) == (5, 0)


def test_a_dead_letter_says_everything(kafka: Kafka, topics: Topics) -> None:
    trace = "0af7651916cd43dd8448eb211c80319c"
    record = Record(
        topic=topics.catalog.name,
        partition=3,
        offset=42,
        key=b"k",
        value=b"\xff",
        timestamp_ms=1_700_000_000_000,
        headers=(("traceparent", f"00-{trace}-b7ad6b7169203331-01".encode()), ("mine", b"1")),
    )
    letters = DeadLetters(kafka, topics)
    began = time.time() * 1000
    asyncio.run(letters(record, Rejection("größer als erlaubt", "RowRejected"), 7))
    letters.send(replace(record, value=None, headers=()), Rejection("x", "Y"), 1)
    first, second = read_dead_letters(kafka, topics)
    assert first.record == record
    assert (first.reason, first.error_class) == ("größer als erlaubt", "RowRejected")
    assert (first.attempts, first.trace_id, first.offset) == (7, trace, 0)
    assert abs(first.rejected_ms - began) < 60_000
    assert second.record.value is None
    assert len(second.trace_id) == 32
    with Publisher(kafka) as publisher:
        redrive(publisher, first, first.record.topic)
    (again,) = read_topic(kafka, topics.catalog.name)
    assert (again.key, again.value, again.headers) == (record.key, record.value, record.headers)
    assert again.timestamp_ms == record.timestamp_ms


def test_a_record_that_shrank_on_its_way_still_fits(kafka: Kafka, topics: Topics) -> None:
    # Brokers limit the compressed size, so much larger records can be read than written plainly.
    record = Record(
        topic="t", partition=0, offset=0, key=None, value=bytes(30_000_000), timestamp_ms=0
    )
    DeadLetters(kafka, topics).send(record, Rejection("too many zeros", "DecodeError"), 1)
    (letter,) = read_dead_letters(kafka, topics)
    assert letter.record.value == record.value


def test_a_letter_of_another_program_can_be_read() -> None:
    foreign = Record(
        topic="d",
        partition=0,
        offset=5,
        key=None,
        value=b"v",
        timestamp_ms=9,
        headers=(("dlq.offset", b"many"),),
    )
    letter = parse(foreign)
    assert (letter.record.value, letter.record.offset, letter.reason) == (b"v", 0, "")


def test_a_dead_letter_that_is_not_confirmed_is_tried_again() -> None:
    letters = DeadLetters(Kafka(bootstrap="127.0.0.1:1"), topic_map(), timeout_s=1)
    record = Record(topic="t", partition=0, offset=1, key=None, value=b"", timestamp_ms=0)
    with pytest.raises(Transient, match="dead letter of t/0/1"):
        letters.send(record, Rejection("x", "Y"), 1)


def test_reading_a_missing_topic_is_said_so(embedded: Kafka) -> None:
    with pytest.raises(BrokerError, match="does not exist"):
        list(read_topic(embedded, "absent"))
