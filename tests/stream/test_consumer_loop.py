"""The consumer loop over a real broker: what is committed, rewound, and shared."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import pytest
from confluent_kafka import Consumer, TopicPartition

from stream.connection import Kafka
from stream.consumer_loop import ConsumerLoop, Offsets, Partition
from stream.publisher import Publisher
from stream.records import Record
from stream.topics import Topics

pytestmark = pytest.mark.slow

KEY = "k"  # of all records: they share a partition, so that their order is known


@dataclass
class Handler:
    """Keeps what it is given; nothing from `unfinished` on may be committed."""

    unfinished: dict[Partition, int] = field(default_factory=dict)
    values: list[bytes | None] = field(default_factory=list)
    assigned: list[Offsets] = field(default_factory=list)
    fail_on: bytes = b""

    def handle(self, records: list[Record]) -> Offsets:
        if any(record.value == self.fail_on for record in records):
            raise RuntimeError("the handler failed")
        self.values += [record.value for record in records]
        return self.unfinished

    def wait_for(self, values: list[bytes], timeout_s: float = 20) -> None:
        deadline = time.monotonic() + timeout_s
        while self.values != values and time.monotonic() < deadline:
            time.sleep(0.02)
        assert self.values == values


def make_loop(kafka: Kafka, topic: str, handler: Handler, **settings: object) -> ConsumerLoop:
    return ConsumerLoop(
        kafka=kafka,
        group=f"{topic}-group",
        topics=(topic,),
        handle=handler.handle,
        on_assigned=handler.assigned.append,
        **settings,  # type: ignore[arg-type]
    )


@contextmanager
def running(loop: ConsumerLoop) -> Iterator[threading.Thread]:
    """The loop in a thread, stopped at the end as SIGTERM would."""
    stopping = threading.Event()
    thread = threading.Thread(target=loop.run, args=(stopping.is_set, lambda: None))
    thread.start()
    try:
        yield thread
    finally:
        stopping.set()
        thread.join(20)
        assert not thread.is_alive()


def publish(kafka: Kafka, topic: str, *values: bytes) -> None:
    with Publisher(kafka) as publisher:
        for value in values:
            publisher.publish(topic, KEY, value)


def committed(kafka: Kafka, topic: str, partitions: int = 2) -> int:
    """The offsets that the loop's group has committed, all partitions together."""
    consumer = Consumer(kafka.consumer(f"{topic}-group"))
    places = [TopicPartition(topic, number) for number in range(partitions)]
    try:
        return sum(max(0, place.offset) for place in consumer.committed(places, timeout=10))
    finally:
        consumer.close()


def test_what_is_unfinished_comes_again(kafka: Kafka, topics: Topics) -> None:
    topic = topics.click.name
    publish(kafka, topic, b"0", b"1", b"2")
    first = Handler(unfinished={(topic, number): 1 for number in range(2)})
    with running(make_loop(kafka, topic, first)):
        first.wait_for([b"0", b"1", b"2"])
    assert committed(kafka, topic) == 1
    second = Handler()
    with running(make_loop(kafka, topic, second)):
        second.wait_for([b"1", b"2"])
    assert committed(kafka, topic) == 3


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_batch_whose_handler_fails_comes_again(kafka: Kafka, topics: Topics) -> None:
    topic = topics.click.name
    publish(kafka, topic, b"0", b"1")
    first = Handler(fail_on=b"1")
    with running(make_loop(kafka, topic, first, max_batch=1)) as thread:
        thread.join(20)
        assert not thread.is_alive()
    assert first.values == [b"0"]
    second = Handler()
    with running(make_loop(kafka, topic, second)):
        second.wait_for([b"1"])


def test_a_topic_that_is_rewound_is_read_again(kafka: Kafka, topics: Topics) -> None:
    topic = topics.impression.name
    publish(kafka, topic, b"0", b"1")
    rewind = {topic: 60_000}
    for _ in range(2):
        handler = Handler()
        with running(make_loop(kafka, topic, handler, rewind_ms=rewind)):
            handler.wait_for([b"0", b"1"])
    assert sum(handler.assigned[-1].values()) == 2
    assert committed(kafka, topic) == 2


def test_a_loop_without_partitions_lives_on(kafka: Kafka, topics: Topics) -> None:
    topic = topics.dead_letter.name  # the one with a single partition
    one, other = Handler(), Handler()
    rewind = {topic: 60_000}
    with (
        running(make_loop(kafka, topic, one, rewind_ms=rewind)) as first,
        running(make_loop(kafka, topic, other, rewind_ms=rewind)) as second,
    ):
        deadline = time.monotonic() + 30
        while not (one.assigned and other.assigned) and time.monotonic() < deadline:
            time.sleep(0.05)
        publish(kafka, topic, b"0")
        while not (one.values or other.values) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert [*one.values, *other.values] == [b"0"]
        assert first.is_alive()
        assert second.is_alive()
