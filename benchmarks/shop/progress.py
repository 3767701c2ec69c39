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

    def ends(self, published: Mapping[int, int]) -> dict[int, int]:
        """Where each partition ends: as the broker says, or as the producer does.

        The broker's word counts when a producer lost its connection, and never heard where an
        event went; the producer's where the embedded broker's watermarks are too low.
        """
        found = {}
        for place in self._places:
            _, high = self._consumer.get_watermark_offsets(place, timeout=30)
            found[place.partition] = max(high, published.get(place.partition, 0))
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
