"""How far a consumer group is behind, by partition, on any broker.

The end of a partition is read, not asked for: the embedded broker reports the first offset of the
last batch plus one. So the last batch is read again, up to the end of the partition. That costs one
fetch, whatever else there is.
"""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from stream.connection import Kafka, retry_until_leader
from stream.errors import BrokerError
from stream.records import partitions, take

Place = tuple[str, int]  # topic, partition

POLL_S = 0.2


@dataclass(frozen=True, kw_only=True)
class PartitionLag:
    """What a group has not finished of one partition.

    `end` is the offset after the last record, `committed` the next one to finish; None where the
    group has never committed, and begins with the first record there is.
    """

    topic: str
    partition: int
    committed: int | None
    end: int
    lag: int


class LagReader:
    """Reads a group's lag as often as it is asked; a context manager.

    It is no member of the group, and leaves its offsets alone. Raises `BrokerError` where a topic
    is missing or Kafka does not answer within `timeout_s`.
    """

    def __init__(
        self, kafka: Kafka, group: str, topics: Sequence[str], timeout_s: float = 10.0
    ) -> None:
        self._kafka = kafka
        self._topics = topics
        self._timeout_s = timeout_s
        self._consumer = Consumer(kafka.consumer(group, enable_partition_eof=True))

    def read(self) -> list[PartitionLag]:
        """The lag of every partition of the topics, by topic and partition."""
        try:
            return list(self._read())
        except KafkaException as error:
            raise BrokerError(
                f"cannot read the lag at {self._kafka.bootstrap}: {error.args[0].str()}"
            ) from error

    def close(self) -> None:
        """Let go of the connection."""
        self._consumer.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _read(self) -> Iterator[PartitionLag]:
        places = [
            TopicPartition(topic, partition)
            for topic in self._topics
            for partition in sorted(partitions(self._consumer, topic, self._timeout_s))
        ]
        kept = retry_until_leader(self._consumer.committed, places, timeout=self._timeout_s)
        committed = {(one.topic, one.partition): one.offset for one in kept}
        # In this order: what is committed meanwhile would be beyond an end read before.
        bounds = {(one.topic, one.partition): self._watermarks(one) for one in places}
        ends = self._ends(bounds)
        for place, (first, _) in bounds.items():
            offset = committed[place]
            known = offset if offset >= 0 else None
            behind = ends[place] - max(first, offset)
            yield PartitionLag(
                topic=place[0],
                partition=place[1],
                committed=known,
                end=ends[place],
                lag=max(0, behind),
            )

    def _watermarks(self, place: TopicPartition) -> tuple[int, int]:
        """The first offset of a partition, and the end that the broker reports."""
        first, end = retry_until_leader(
            self._consumer.get_watermark_offsets, place, timeout=self._timeout_s
        )
        return int(first), int(end)

    def _ends(self, bounds: dict[Place, tuple[int, int]]) -> dict[Place, int]:
        """The offset after the last record of each partition.

        A partition that grows faster than it is read has the end that was reached in time.
        """
        ends = {place: end for place, (_, end) in bounds.items()}
        unread = {place for place, (first, end) in bounds.items() if end > first}
        self._consumer.assign(
            [TopicPartition(*place, max(bounds[place][0], ends[place] - 1)) for place in unread]
        )
        deadline = time.monotonic() + self._timeout_s
        while unread and time.monotonic() < deadline:
            for message in take(self._consumer, POLL_S):
                place = (message.topic() or "", message.partition() or 0)
                error, offset = message.error(), message.offset()
                if error is not None and error.code() == KafkaError._PARTITION_EOF:
                    unread.discard(place)
                elif error is not None and error.fatal():
                    raise KafkaException(error)
                elif error is None and offset is not None and place in ends:
                    ends[place] = max(ends[place], offset + 1)
        self._consumer.unassign()
        return ends
