"""Replaying a recorded stream: the input is data, a marker says where the worker is killed.

A stream is a JSON file:

    {"about": "...", "batch": 2,
     "stream": [event, "ABORT before write", event, event, "ABORT before ack", ...],
     "runs":   [{"states": [...], "products": {...}, "dead_letters": {...}}, ...]}

A run reads from the last acked offset in batches, like the worker does, until the stream ends or
a marker is reached: *before write* kills it between the two steps of delivery, *before ack* when
the write is durable but nothing is acked. Each marker kills once. `runs` says for each run how the
events it brought to an end ended, and what it left in the index (title, picture colour, offer) and
in the dead-letter topic, by offset.

An event is a catalog event as it is on the wire, with three shorthands: `"image": "red"` is a
picture of that colour, a string is the raw bytes of a record, null is a tombstone (its key is in
`{"tombstone": key}`). `{"recording": "NAME.jsonl"}` stands for the records of that file beside the
stream, as `lookstream record` wrote them; offsets count through all of the stream.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import orjson

from stream.delivery import Delivery, Outcome, Partial, Rejection, State
from stream.record_file import read_recording
from stream.records import Record
from tests.doubles.colours import ColourEncoder, picture_uri
from workers.catalog_index import CatalogIndex
from workers.config.sections import IntakeSettings
from workers.config.settings import Settings
from workers.ingest.last_write_wins import Change
from workers.ingest.steps import Ingest
from workers.intake.fetch import open_fetcher

FIRST_MS = 1_700_000_000_000


class Abort(BaseException):
    """The worker is killed here; no `except Exception` may stop it."""


@dataclass(frozen=True)
class Recorded:
    """A recorded stream: its records, and the stage at which reaching an offset kills."""

    about: str
    batch: int
    records: tuple[Record, ...]
    aborts: dict[int, str]
    runs: tuple[dict[str, Any], ...]


@dataclass
class Replay:
    """What lives on between runs: the acked offset, the index, the dead letters."""

    recorded: Recorded
    settings: Settings
    acked: int = 0
    aborted: set[int] = field(default_factory=set)
    dead_letters: dict[int, str] = field(default_factory=dict)

    async def run(self) -> dict[str, Any]:
        """Start a worker where the last one was; what it brought to an end and left behind."""
        encoder = ColourEncoder()
        index = CatalogIndex(self.settings, encoder.model_id)
        states: list[str] = []
        try:
            async with open_fetcher(IntakeSettings()) as fetcher:
                worker = _Watched(Ingest(fetcher, encoder, index), states)
                delivery = Delivery(worker.prepare, worker.write, self._dead_letter)
                while batch := self.recorded.records[self.acked :][: self.recorded.batch]:
                    worker.kill = self._stage(batch)
                    await delivery.deliver(batch)
                    worker.end()
                    self.acked += len(batch)
        except Abort:
            pass
        left = self._left(index)
        index.close()
        return {"states": states, **left}

    def _stage(self, batch: Sequence[Record]) -> str | None:
        for offset, stage in self.recorded.aborts.items():
            # A marker stands behind an event: it kills the batch that holds the event before it.
            if batch[0].offset < offset <= batch[-1].offset + 1 and offset not in self.aborted:
                self.aborted.add(offset)
                return stage
        return None

    async def _dead_letter(self, record: Record, rejection: Rejection, _attempts: int) -> None:
        self.dead_letters[record.offset] = rejection.error_class

    def _left(self, index: CatalogIndex) -> dict[str, Any]:
        keys = {record.key.decode() for record in self.recorded.records if record.key}
        products: dict[str, Any] = {}
        for item in index.stored(sorted(keys)):
            if not item.is_tombstone:
                seen = {
                    "title": item.payload["title"],
                    "colour": _colour(item.vector),
                    **item.offer,
                }
                products.setdefault(item.product_id, []).append(seen)
        letters = {str(offset): why for offset, why in sorted(self.dead_letters.items())}
        return {"products": products, "dead_letters": letters}


class _Watched:
    """The ingest worker's two steps, with the kill in between and a record of how events ended."""

    def __init__(self, ingest: Ingest, states: list[str]) -> None:
        self._ingest = ingest
        self._states = states
        self._ended: list[str] = []
        self.kill: str | None = None

    async def prepare(self, records: Sequence[Record]) -> list[Change | State | Rejection]:
        prepared = await self._ingest.prepare(records)
        self._ended = [_state(p) if isinstance(p, State | Rejection) else "" for p in prepared]
        if self.kill == "before write":
            raise Abort
        return prepared

    async def write(self, changes: Sequence[Change]) -> list[Outcome]:
        written = await self._ingest.write(changes)
        if self.kill == "before ack":
            raise Abort
        left = iter(written)
        self._ended = [end or _state(next(left)) for end in self._ended]
        return written

    def end(self) -> None:
        self._states += self._ended


def _state(outcome: Outcome) -> str:
    if isinstance(outcome, State):
        return outcome.value
    return "partial" if isinstance(outcome, Partial) else "refused"


def load(path: Path) -> Recorded:
    """Read a recorded stream."""
    data = orjson.loads(path.read_bytes())
    records: list[Record] = []
    aborts: dict[int, str] = {}
    for entry in data["stream"]:
        if isinstance(entry, str) and entry.startswith("ABORT "):
            aborts[len(records)] = entry.removeprefix("ABORT ")
        elif isinstance(entry, dict) and "recording" in entry:
            for record in read_recording(path.with_name(entry["recording"])):
                records.append(replace(record, partition=0, offset=len(records)))
        else:
            records.append(_record(len(records), entry))
    return Recorded(data["about"], data["batch"], tuple(records), aborts, tuple(data["runs"]))


def _record(offset: int, entry: Any) -> Record:
    key: str | None = None
    value: bytes | None
    if isinstance(entry, str):
        value = entry.encode()
    elif "tombstone" in entry:
        key, value = entry["tombstone"], None
    else:
        if "image" in entry and ":" not in entry["image"]:
            entry["image"] = picture_uri(entry["image"])
        key, value = entry.get("product_id"), orjson.dumps(entry)
    return Record(
        topic="catalog",
        partition=0,
        offset=offset,
        key=key.encode() if key else None,
        value=value,
        timestamp_ms=FIRST_MS + offset,
    )


def _colour(vector: Any) -> str:
    """The name of the primary colour the vector was made from; "none" if from words alone."""
    return ("red", "green", "blue")[int(vector[:3].argmax())] if vector[:3].any() else "none"
