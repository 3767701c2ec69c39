"""How far a consumer group is in a topic."""

from collections.abc import Mapping
from contextlib import suppress
from types import TracebackType
from typing import Self

from confluent_kafka import Consumer, KafkaException, TopicPartition

from stream.connection import Kafka
from stream.topics import Topic


class Progress:
    """Offsets that a consumer group has committed, by partition; a context manager."""

    def __init__(self, kafka: Kafka, group: str, topic: Topic) -> None:
        self._consumer = Consumer(kafka.consumer(group))
        self._partitions = [TopicPartition(topic.name, p) for p in range(topic.partitions)]
        self.offsets: dict[int, int] = {}

    @property
    def committed(self) -> int:
        """Records committed, of all partitions."""
        return sum(self.offsets.values())

    def refresh(self) -> None:
        """Ask the broker; while it is down, the last answer stays."""
        with suppress(KafkaException):
            found = self._consumer.committed(self._partitions, timeout=2)
            self.offsets = {one.partition: max(0, one.offset) for one in found}

    def ends(self, published: Mapping[int, int]) -> dict[int, int]:
        """Where each partition ends: the later of the broker's end and the producer's.

        A producer that lost its connection may not know where an event was written; the embedded
        broker's watermarks may be too low.
        """
        found = {}
        for one in self._partitions:
            _, high = self._consumer.get_watermark_offsets(one, timeout=30)
            found[one.partition] = max(high, published.get(one.partition, 0))
        return found

    def reached(self, ends: Mapping[int, int]) -> bool:
        """Whether everything before these offsets is committed."""
        return all(self.offsets.get(partition, 0) >= end for partition, end in ends.items())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._consumer.close()
