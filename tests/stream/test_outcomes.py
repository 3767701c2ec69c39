"""How records ended reaches whoever listens, and a broker that does not take it holds up nobody."""

import logging

import pytest

from stream.connection import Kafka
from stream.delivery import Ended, Rejection, State
from stream.embedded_broker import claim_port
from stream.errors import BrokerError
from stream.messages import Outcomes, RefusedRecord
from stream.outcomes import OutcomeReader, OutcomeWriter, by_partition
from stream.topics import Topics, topic_map

ENDED = (
    Ended("catalog", 1, 7, State.APPLIED),
    Ended("catalog", 0, 3, State.SUPERSEDED),
    Ended("catalog", 1, 8, Rejection("no picture " + "x" * 600, "FetchError")),
    Ended("catalog", 1, 9, State.APPLIED),
)


def test_one_message_for_each_partition() -> None:
    one, other = by_partition(ENDED)
    assert (one.partition, one.applied, one.superseded) == (1, (7, 9), ())
    (refused,) = one.refused
    assert (refused.offset, refused.error_class, len(refused.reason)) == (8, "FetchError", 500)
    assert other == Outcomes(topic="catalog", partition=0, superseded=(3,))
    assert list(by_partition(())) == []


@pytest.mark.slow
def test_a_reader_gets_what_is_written_after_its_start(kafka: Kafka, topics: Topics) -> None:
    writer = OutcomeWriter(kafka, topics)
    reader = OutcomeReader(kafka, topics)
    try:
        writer.write(ENDED)
        writer.close()
        read = reader.read(idle_s=20)
        assert [next(read), next(read)] == list(by_partition(ENDED))
        assert isinstance(next(iter(by_partition(ENDED))).refused[0], RefusedRecord)
    finally:
        reader.close()


def test_without_its_topic_there_is_no_reader(kafka: Kafka) -> None:
    with pytest.raises(BrokerError, match=r"no-such\.outcome"):
        OutcomeReader(kafka, topic_map("no-such"))


def test_a_writer_that_cannot_write_says_so_once_and_goes_on(
    caplog: pytest.LogCaptureFixture,
) -> None:
    nowhere = Kafka(bootstrap=f"127.0.0.1:{claim_port()}")
    writer = OutcomeWriter(nowhere, topic_map("no-such"), timeout_s=1)
    with caplog.at_level(logging.WARNING, "stream.outcomes"):
        for _ in range(3):
            writer.write(ENDED)
        writer.close()
        writer.close()
    (said,) = [one.getMessage() for one in caplog.records if one.name == "stream.outcomes"]
    assert said.startswith("outcomes are not written to no-such.outcome:")
