"""Spans of a topic, read exactly, and recordings of them."""

import time
from pathlib import Path

import pytest

from stream.connection import Kafka
from stream.errors import BrokerError, RecordingError, StreamError
from stream.publisher import Publisher
from stream.record_file import read_recording, write_recording
from stream.records import Record
from stream.span_reader import Edge, Offset, Span, SpanReader, Time, parse_span
from stream.topics import Topics

# Recent: brokers delete what is older than a topic's retention.
T0 = time.time_ns() // 1_000_000 - 3_600_000


def publish(kafka: Kafka, topic: str, count: int, first: int = 0) -> dict[int, int]:
    """Records whose value is a number and whose time is that many milliseconds after `T0`."""
    with Publisher(kafka) as publisher:
        for n in range(first, first + count):
            publisher.publish(topic, f"k{n}", b"%d" % n, [("n", b"%d" % n)], T0 + n)
        return publisher.flush()[topic]


def read(kafka: Kafka, topic: str, start: str, end: str) -> list[Record]:
    with SpanReader(kafka, topic, parse_span(start, end), group="unused") as reader:
        return list(reader)


def numbers(records: list[Record]) -> set[int]:
    return {int(record.value or b"") for record in records}


def iso(ms: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(ms // 1000)) + f".{ms % 1000:03d}"


def test_everything_is_read_in_order_of_each_partition(kafka: Kafka, topics: Topics) -> None:
    ends = publish(kafka, topics.catalog.name, 3000)
    span = Span()
    with SpanReader(kafka, topics.catalog.name, span, group="unused") as reader:
        records = list(reader)
        assert reader.positions == ends
        assert 0 < reader.total <= 3000
    assert numbers(records) == set(range(3000))
    for partition in ends:
        offsets = [record.offset for record in records if record.partition == partition]
        assert offsets == sorted(offsets)


def test_a_span_of_offsets(kafka: Kafka, topics: Topics) -> None:
    publish(kafka, topics.catalog.name, 400)
    everything = read(kafka, topics.catalog.name, "beginning", "now")
    some = read(kafka, topics.catalog.name, "10", "20")
    assert numbers(some) == numbers([r for r in everything if 10 <= r.offset < 20])
    assert {record.offset for record in some} == set(range(10, 20))
    assert read(kafka, topics.catalog.name, "20", "20") == []
    assert read(kafka, topics.catalog.name, "99999", "NOW") == []


def test_a_span_of_times(kafka: Kafka, topics: Topics) -> None:
    publish(kafka, topics.catalog.name, 300)
    publish(kafka, topics.catalog.name, 1, first=120)  # a late one, behind newer ones
    records = read(kafka, topics.catalog.name, iso(T0 + 100), iso(T0 + 200))
    assert numbers(records) == set(range(100, 200))
    assert len(records) == 101
    assert numbers(read(kafka, topics.catalog.name, iso(T0 + 290), "NOW")) == set(range(290, 300))
    assert read(kafka, topics.catalog.name, iso(T0 + 9000), "NOW") == []


def test_what_is_sent_meanwhile_has_an_end(kafka: Kafka, topics: Topics) -> None:
    publish(kafka, topics.click.name, 50)
    seen = 0
    reader = SpanReader(kafka, topics.click.name, Span(), group="unused")
    with reader, Publisher(kafka, linger_ms=0) as publisher:
        time.sleep(0.01)
        for record in reader:
            seen += 1
            assert int(record.value or b"") < 50, "read what came after"
            for _ in range(2):  # now, and faster than it is read
                publisher.publish(topics.click.name, record.key, b"99")
            publisher.flush()
    assert seen == 50


def test_going_on_where_the_last_reading_ended(kafka: Kafka, topics: Topics) -> None:
    topic, group = topics.catalog.name, f"replay-{topics.catalog.name}"
    last = parse_span("LAST", "NOW")
    publish(kafka, topic, 100)
    with SpanReader(kafka, topic, last, group=group) as reader:
        assert numbers(list(reader)) == set(range(100))
    with SpanReader(kafka, topic, last, group=group) as reader:  # nothing was saved
        assert numbers(list(reader)) == set(range(100))
        reader.save()
    publish(kafka, topic, 10, first=100)
    with SpanReader(kafka, topic, last, group=group) as reader:
        assert numbers(list(reader)) == set(range(100, 110))


def test_going_on_behind_an_end_time_leaves_nothing_out(kafka: Kafka, topics: Topics) -> None:
    topic, group = topics.catalog.name, f"replay-{topics.catalog.name}"
    publish(kafka, topic, 100)
    publish(kafka, topic, 1, first=10)  # a late one, behind newer ones
    first = parse_span("LAST", iso(T0 + 50))
    with SpanReader(kafka, topic, first, group=group) as reader:
        records = list(reader)
        reader.save()
    assert numbers(records) == set(range(50))
    assert len(records) == 51
    with SpanReader(kafka, topic, parse_span("LAST", "NOW"), group=group) as reader:
        rest = list(reader)
    assert numbers(rest) >= set(range(50, 100))
    assert len(rest) <= 51


def test_no_other_group_is_touched(kafka: Kafka, topics: Topics) -> None:
    from confluent_kafka import Consumer, TopicPartition

    topic = topics.click.name
    publish(kafka, topic, 100)
    live = Consumer(kafka.consumer(f"live-{topic}"))
    live.commit(offsets=[TopicPartition(topic, 0, 7)], asynchronous=False)
    with SpanReader(kafka, topic, Span(), group=f"replay-{topic}") as reader:
        assert len(list(reader)) == 100
        reader.save()
    committed = live.committed([TopicPartition(topic, 0), TopicPartition(topic, 1)], timeout=10)
    assert [place.offset for place in committed] == [7, -1001]
    live.close()


def test_reading_a_missing_topic_is_said_so(embedded: Kafka) -> None:
    with pytest.raises(BrokerError, match="does not exist"):
        SpanReader(embedded, "absent", Span(), group="unused")


@pytest.mark.parametrize(
    ("start", "end", "span"),
    [
        ("beginning", "NOW", Span()),
        ("LAST", "12", Span(Edge.LAST, Offset(12))),
        ("1970-01-01T00:00:01", "1970-01-01T01:00:02+01:00", Span(Time(1000), Time(2000))),
    ],
)
def test_a_span_in_words(start: str, end: str, span: Span) -> None:
    assert parse_span(start, end) == span


@pytest.mark.parametrize(
    ("start", "end"), [("yesterday", "NOW"), ("-1", "NOW"), ("NOW", "NOW"), ("0", "BEGINNING")]
)
def test_a_span_nobody_understands_is_refused(start: str, end: str) -> None:
    with pytest.raises(StreamError, match=r"is no point of a topic|nothing lies from"):
        parse_span(start, end)


RECORDS = [
    Record(topic="shop.catalog", partition=3, offset=2**40, key=b"k", value=b'{"a": "\xc3\xa4"}',
           timestamp_ms=1, headers=(("text", b"x"), ("bytes", b"\xff\x00"), ("empty", b""))),
    Record(topic="shop.catalog", partition=0, offset=0, key=None, value=None, timestamp_ms=2),
    Record(topic="shop.query", partition=0, offset=1, key=b"\xff", value=bytes(range(256)),
           timestamp_ms=3),
    Record(topic="t", partition=0, offset=2, key=b"", value=b"line\nbreak\x00\xe2\x80\xa8",
           timestamp_ms=4),
]  # fmt: skip


def test_a_recording_gives_back_every_byte(tmp_path: Path) -> None:
    file = tmp_path / "stream.jsonl"
    assert write_recording(RECORDS, file) == 4
    assert list(read_recording(file)) == RECORDS
    assert len(file.read_bytes().splitlines()) == 4
    assert write_recording([], file) == 0
    assert list(read_recording(file)) == []


def test_a_broken_recording_names_the_line(tmp_path: Path) -> None:
    file = tmp_path / "stream.jsonl"
    write_recording(RECORDS, file)
    whole = file.read_bytes()
    for damage in (b'{"topic": 1}\n', b"\n", b'{"base64": "?"}\n', whole[:20]):
        file.write_bytes(whole + damage)
        with pytest.raises(RecordingError, match=r"line 5 of .*stream\.jsonl"):
            list(read_recording(file))
    with pytest.raises(RecordingError, match="cannot read"):
        list(read_recording(tmp_path / "absent"))
    with pytest.raises(RecordingError, match="cannot write"):
        write_recording(RECORDS, tmp_path / "absent" / "stream.jsonl")


def test_a_recording_cut_short_is_not_there(tmp_path: Path) -> None:
    def broken() -> "list[Record]":
        raise BrokerError("away")

    with pytest.raises(BrokerError):
        write_recording((one for _ in range(1) for one in broken()), tmp_path / "s.jsonl")
    assert list(tmp_path.iterdir()) == []
