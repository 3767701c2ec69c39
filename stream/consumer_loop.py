"""The consumer loop of the workers that a shopper waits for; a hop through Faust takes longer.

Records are taken as they come and handed to a handler, and what is finished is committed. So a
crash repeats the last records and loses nothing. A handler may leave records unfinished, such as a
click whose impression has not come yet, or a query whose picture is still fetched: then nothing
from the first of them on is committed in their partition, and after a restart they are read again.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from confluent_kafka import Consumer, TopicPartition

from stream.connection import FETCH_WAIT_MS, Kafka, retry_until_leader
from stream.records import Record, from_confluent, take

Partition = tuple[str, int]  # topic, number
Offsets = Mapping[Partition, int]
Handle = Callable[[list[Record]], Offsets]

# How long the broker may take to answer what is committed, and which offset belongs to a time.
ASK_TIMEOUT_S = 30


@dataclass(kw_only=True)
class ConsumerLoop:
    """Reads `topics` as a member of `group` and hands batches of records to `handle`.

    `handle` returns when all it did is durable, with the first unfinished offset of each partition
    that has one. It is called about every `poll_s` seconds, also without records: what waits for
    another record may have waited long enough. An error of it ends the loop with nothing of its
    batch committed.

    A handler that works beside the loop says with `room` how many records it can take now; while
    that is none, none are read. `drain` is called when the loop was stopped, before it leaves the
    group: it waits for what ends soon, and returns what is unfinished then.

    Topics in `rewind_ms` are read again from so many milliseconds ago whenever partitions are
    assigned, whatever was committed: they are the handler's state. `on_assigned` is called then,
    before the first record, with what was committed of them: records before that were handled
    by an earlier run.
    """

    kafka: Kafka
    group: str
    topics: Sequence[str]
    handle: Handle
    max_batch: int = 500
    poll_s: float = 0.1
    fetch_wait_ms: int = FETCH_WAIT_MS
    room: Callable[[], int] | None = None
    drain: Callable[[], Offsets] | None = None
    rewind_ms: Mapping[str, int] = field(default_factory=dict)
    on_assigned: Callable[[Offsets], None] = lambda _committed: None
    _assigned: set[Partition] = field(default_factory=set)
    _ends: dict[Partition, int] = field(default_factory=dict)  # after the last record handled
    _committed: dict[Partition, int] = field(default_factory=dict)

    def run(self, stopped: Callable[[], bool], on_ready: Callable[[], None]) -> None:
        """Consume until `stopped()`, then leave the group; `on_ready` is called once subscribed."""
        consumer = Consumer(self.kafka.consumer(self.group, fetch_wait_max_ms=self.fetch_wait_ms))
        consumer.subscribe(list(self.topics), on_assign=self._assign, on_revoke=self._revoke)
        on_ready()
        try:
            while not stopped():
                records = self._take(consumer)
                unfinished = self.handle(records)
                self._advance(records)
                self._commit(consumer, unfinished)
            if self.drain is not None:
                self._commit(consumer, self.drain())
        finally:
            consumer.close()

    def _take(self, consumer: Consumer) -> list[Record]:
        """The records that are there; none after `poll_s` seconds, or while there is no room."""
        room = self.max_batch if self.room is None else min(self.max_batch, self.room())
        if room <= 0:
            time.sleep(self.poll_s)
            return []
        return [from_confluent(message) for message in take(consumer, self.poll_s, room)]

    def _assign(self, consumer: Consumer, places: list[TopicPartition]) -> None:
        """Read on where the group left off; what is to be rewound, from its time."""
        self._assigned = {(place.topic, place.partition) for place in places}
        self._ends.clear()
        self._committed.clear()
        starts = [place for place in places if place.topic not in self.rewind_ms]
        if again := [place for place in places if place.topic in self.rewind_ms]:
            # A topic made a moment ago has no leader yet, and one whose broker fell gets another.
            committed = retry_until_leader(consumer.committed, again, timeout=ASK_TIMEOUT_S)
            self._committed = {(p.topic, p.partition): max(0, p.offset) for p in committed}
            starts += retry_until_leader(
                consumer.offsets_for_times, self._times(again), timeout=ASK_TIMEOUT_S
            )
        self.on_assigned(self._committed.copy())
        consumer.assign(starts)

    def _times(self, places: Sequence[TopicPartition]) -> list[TopicPartition]:
        """The places with the times (ms since the epoch) to rewind to, where offsets would be."""
        now_ms = time.time_ns() // 1_000_000
        return [
            TopicPartition(place.topic, place.partition, now_ms - self.rewind_ms[place.topic])
            for place in places
        ]

    def _revoke(self, _consumer: Consumer, _places: list[TopicPartition]) -> None:
        """Commit nothing more: the partitions may have another reader now."""
        self._assigned.clear()
        self._ends.clear()

    def _advance(self, records: Sequence[Record]) -> None:
        for record in records:
            place = (record.topic, record.partition)
            if place in self._assigned:  # not revoked while the batch was taken
                self._ends[place] = record.offset + 1

    def _commit(self, consumer: Consumer, unfinished: Offsets) -> None:
        """Commit what is new, up to the first unfinished record of each partition."""
        ends = {place: min(end, unfinished.get(place, end)) for place, end in self._ends.items()}
        new = {place: end for place, end in ends.items() if end > self._committed.get(place, 0)}
        if new:
            offsets = [TopicPartition(*place, end) for place, end in new.items()]
            consumer.commit(offsets=offsets, asynchronous=True)
            self._committed |= new
