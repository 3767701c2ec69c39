"""What `lookstream map` looks at: a sample of a file or topic, and what a mapping makes of it."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from models.catalog.coerce import coerce_event
from models.catalog.sources.connect_json import read_value
from models.catalog.sources.evaluate import UNAVAILABLE
from models.catalog.sources.feed_file import open_feed
from models.catalog.sources.feeds import FEEDS
from models.catalog.sources.formats import (
    EVENTS,
    ForeignRecord,
    TopicFormat,
    detect_format,
    read_change,
)
from models.catalog.sources.mapping import MappedEvent, map_change, read_mapping
from models.catalog.sources.propose import Proposal, propose_mapping
from models.catalog.sources.row_change import RowChange
from models.errors import CatalogError
from stream.connection import Kafka
from stream.records import Record
from stream.span_reader import Span, SpanReader
from workers.errors import SettingsError

SAMPLE = 500
"""Rows that a proposal is made from."""


@dataclass(frozen=True)
class Sample:
    """Changes of rows, in the format that they have; `problems` are of rows that cannot be read."""

    format: str
    changes: tuple[RowChange, ...]
    problems: tuple[str, ...] = ()


@dataclass(frozen=True)
class Mapped:
    """A row before, and the event after, or why there is none."""

    before: Mapping[str, Any]
    after: Mapping[str, Any] | None
    problem: str = ""


def sample_file(path: Path) -> Sample:
    """The first rows of a feed file.

    Raises:
        CatalogError: it cannot be read.
    """
    feed = open_feed(path)
    rows = list(islice(feed.rows(), SAMPLE))
    return Sample(
        feed.format.value,
        tuple(RowChange(row=row.fields) for row in rows if not row.problem),
        tuple(f"line {row.line}: {row.problem}" for row in rows if row.problem),
    )


def sample_topic(kafka: Kafka, topic: str) -> Sample:
    """The first records of a topic; the format is that of most of them.

    Raises:
        BrokerError: there is no such topic, or no answer.
        SettingsError: nothing is in it but our own events.
    """
    with SpanReader(kafka, topic, Span(), group="unused") as reader:
        records = list(islice(reader, SAMPLE))
    formats: Counter[str] = Counter()
    changes: list[RowChange] = []
    problems: list[str] = []
    for record in records:
        if record.value is None:
            continue
        try:
            change = _change(record, formats)
        except CatalogError as error:
            problems.append(f"{record.source}: {error}")
        else:
            if change is not None and not change.deleted:
                changes.append(change)
    if not changes:
        what = problems[0] if problems else "it holds no row yet, or our own events"
        raise SettingsError(f"no mapping can be proposed for topic {topic}: {what}")
    return Sample(formats.most_common(1)[0][0], tuple(changes), tuple(problems))


def propose(sample: Sample) -> Proposal:
    """The mapping of a known feed, or one by the columns' names and values."""
    known = next((feed for form, feed in FEEDS.items() if form.value == sample.format), None)
    if known:
        return Proposal(dict(known.map), dict(known.when))
    latest: dict[str, Mapping[str, Any]] = {}
    for number, change in enumerate(sample.changes):  # of a topic, each row once
        key = change.around.get("key")
        latest[str(number) if key is None else json.dumps(key, default=str)] = change.row
    keys = {name for one in sample.changes for name in _key_columns(one)}
    return propose_mapping(list(latest.values()), keys.pop() if len(keys) == 1 else None)


def preview(sample: Sample, proposal: Proposal, rows: int) -> Iterator[Mapped]:
    """The first rows as they are, and as events."""
    if "product_id" not in proposal.map:
        return
    mapping = read_mapping(proposal.map, proposal.when)
    for change in sample.changes[:rows]:
        before = {name: one for name, one in change.row.items() if one is not UNAVAILABLE}
        try:
            mapped = map_change(mapping, change)
            after = coerce_event(mapped.fields).fields if mapped else None
        except CatalogError as error:
            yield Mapped(before, None, str(error))
        else:
            yield Mapped(before, after)


def to_toml(sample: Sample, proposal: Proposal) -> str:
    """The proposal as the settings have it."""
    lines = ["[catalog.source]", f"format = {json.dumps(sample.format)}", "", "[catalog.map]"]
    lines += [f"{name:<12} = {_toml(one)}" for name, one in proposal.map.items()]
    if proposal.when:
        lines += ["", "[catalog.when]"]
        lines += [f"{name:<12} = {_toml(one)}" for name, one in proposal.when.items()]
    return "\n".join(lines)


def _key_columns(change: RowChange) -> Iterator[str]:
    key = change.around.get("key")
    yield from key if isinstance(key, Mapping) else ()


def _toml(value: Any) -> str:
    """A text or a list of texts; JSON's escapes are TOML's too."""
    given = list(value) if isinstance(value, tuple) else value
    return json.dumps(given, ensure_ascii=False).replace("\x7f", "\\u007f")


def _change(record: Record, formats: Counter[str]) -> RowChange | None:
    headers = {name: value.decode(errors="replace") for name, value in record.headers}
    foreign = ForeignRecord(key=record.key, value=record.value, headers=headers)
    value = read_value(record.value or b"")
    found = detect_format(value, headers) if isinstance(value, dict) else TopicFormat.OUTBOX
    if found is TopicFormat.NATIVE or (isinstance(value, dict) and value.get("type") in EVENTS):
        return None
    change = read_change(foreign, None, found)
    formats[found.value] += 1
    return None if isinstance(change, MappedEvent) else change
