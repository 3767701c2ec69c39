"""How far the shop's workers have got."""

from collections.abc import Mapping
from contextlib import suppress
from types import TracebackType
from typing import Self

from confluent_kafka import Consumer, KafkaException, TopicPartition

from stream.connection import Kafka
from stream.topics import Topic


class Progress:
    """How far a consumer group has committed a topic; a context manager."""

    def __init__(self, kafka: Kafka, group: str, topic: Topic) -> None:
        self._consumer = Consumer(kafka.consumer(group))
        self._places = [TopicPartition(topic.name, p) for p in range(topic.partitions)]
        self.offsets: dict[int, int] = {}

    @property
    def committed(self) -> int:
        """Records committed, of all partitions."""
        return sum(self.offsets.values())

    def look(self) -> None:
        """Ask; while the broker is away, what it said last stands."""
        with suppress(KafkaException):
            found = self._consumer.committed(self._places, timeout=2)
            self.offsets = {one.partition: max(0, one.offset) for one in found}

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
