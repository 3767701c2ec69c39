"""Detects a consumer that stopped without an error, and ends the process so that it is restarted.

Faust consumers have been seen to stall for good without an error (faust-streaming #175, #523,
#532, #640). Stuck means: the partitions assigned to us have uncommitted records, nothing is
being delivered, and nothing was for a long time. A delivery that waits for its store is not stuck,
and neither is one whose records wait for their pictures.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Collection
from typing import Any, NoReturn

from confluent_kafka import Consumer, KafkaException, TopicPartition

from stream.connection import Kafka
from stream.delivery import Delivery, exit_unacked
from stream.errors import DeliveryStuck

log = logging.getLogger(__name__)


async def watch_for_stall(
    kafka: Kafka,
    group: str,
    topic: str,
    delivery: Delivery[Any],
    *,
    assigned: Callable[[], Collection[int]],
    stuck_s: float = 120.0,
    every_s: float = 10.0,
    exit_process: Callable[[], NoReturn] = exit_unacked,
) -> None:
    """Watch `delivery` until cancelled; run it as a task beside the consumer.

    `assigned` returns the partitions of `topic` this process has now. After `stuck_s` seconds
    without progress the process is ended un-acked (`exit_unacked`). On the embedded broker a stall
    within the last produced batch goes unnoticed: its watermarks are too low.
    """
    consumer = Consumer(kafka.consumer(group))
    seen, since = delivery.delivered, time.monotonic()
    try:
        while True:
            await asyncio.sleep(every_s)
            waiting = await asyncio.to_thread(lag, consumer, topic, assigned())
            busy = delivery.busy or delivery.parked
            if busy or delivery.delivered != seen or not waiting:
                seen, since = delivery.delivered, time.monotonic()
            elif time.monotonic() - since > stuck_s:
                error = DeliveryStuck(
                    f"{waiting} records of {topic} wait and none was consumed for {stuck_s:g} s"
                )
                log.critical("exiting to be restarted: %s", error)
                exit_process()
    finally:
        consumer.close()


def lag(consumer: Consumer, topic: str, partitions: Collection[int]) -> int:
    """How many records of these partitions the consumer's group has not committed.

    0 when the broker does not answer: that is no stall of ours.
    """
    if not partitions:
        return 0
    places = [TopicPartition(topic, partition) for partition in partitions]
    try:
        waiting = 0
        for place in consumer.committed(places, timeout=10):
            low, high = consumer.get_watermark_offsets(place, timeout=10)
            waiting += max(0, high - max(low, place.offset))
    except KafkaException as error:
        log.warning("cannot read the lag of %s: %s", topic, error.args[0].str())
        return 0
    return waiting
