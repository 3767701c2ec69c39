"""The worker of `test_consume.py`: appends every value to a file, refuses some, fails now and then.

`poison` is refused in preparation, `bad-write` in writing (by an error for the whole batch). Of
long values only the beginning is noted. Each write takes `slow` seconds.
"""

import asyncio
import random
import sys
from collections.abc import Sequence
from pathlib import Path

import faust
import orjson

from stream.connection import Kafka
from stream.dead_letter import DeadLetters
from stream.delivery import Delivery, Record, Rejection, Retry, State
from stream.errors import Permanent, Transient
from stream.faust_app import make_app, raw_topic
from stream.faust_consumer import consume
from stream.topics import topic_map


def main(
    connection: str, prefix: str, group: str, directory: str, crash_on: str, slow: str
) -> None:
    kafka, topics = Kafka(**orjson.loads(connection)), topic_map(prefix)
    app = make_app(kafka, group, datadir=Path(directory, "faust"))
    ledger = Path(directory, "ledger.txt").open("a", buffering=1)  # noqa: SIM115 - ours until the end
    chance = random.Random(0)

    async def prepare(records: Sequence[Record]) -> list[str | Rejection]:
        return [
            Rejection(f"refused {record.value!r}", "Refused")
            if record.value in {None, b"", b"poison"}
            else (record.value or b"")[:20].decode()
            for record in records
        ]

    async def write(values: Sequence[str]) -> list[State]:
        if "bad-write" in values:
            raise Permanent("bad-write cannot be written")
        if chance.random() < 0.1:
            raise Transient("the store is away for a moment")
        if crash_on and crash_on in values:
            raise RuntimeError("nobody foresaw this")
        await asyncio.sleep(float(slow))
        ledger.writelines(f"{value}\n" for value in values)
        return [State.APPLIED] * len(values)

    delivery = Delivery(prepare, write, DeadLetters(kafka, topics), Retry(first_s=0.01))

    @app.agent(raw_topic(app, topics.catalog.name), concurrency=1)
    async def ingest(stream: faust.StreamT[bytes]) -> None:
        await consume(stream, delivery)

    faust.Worker(app, loglevel="INFO", redirect_stdouts=False).execute_from_commandline()


if __name__ == "__main__":
    main(*sys.argv[1:])
