"""Recorded streams: records of topics in a file, for tests and for `lookstream replay --file`.

A recording is JSON lines in UTF-8, one record a line, in the order they were read:

    {"topic": "lookstream.catalog", "partition": 0, "offset": 7, "time": 1767225600000,
     "key": "4711", "value": "{\\"type\\": ...}", "headers": [["traceparent", "00-..."]]}

`time` is the record's, in milliseconds since the epoch. Bytes that are UTF-8 are written as that
text; others as {"base64": "..."}. A key or value that is null (a tombstone) is null.
"""

from base64 import b64decode, b64encode
from binascii import Error as Base64Error
from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec

from stream.errors import RecordingError
from stream.records import Record


class Raw(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Bytes that are not UTF-8."""

    base64: str


Written = str | Raw | None


class Line(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One record as a JSON line."""

    topic: str
    partition: int
    offset: int
    time: int
    key: Written
    value: Written
    headers: tuple[tuple[str, Written], ...] = ()


def write_recording(records: Iterable[Record], path: Path) -> int:
    """Write the records to a file; returns their number. `path` never holds a partial file.

    Raises `RecordingError` if the file cannot be written.
    """
    part = path.with_name(path.name + ".part")
    count = 0
    try:
        with part.open("wb") as file:
            for count, record in enumerate(records, start=1):  # noqa: B007 - also used below
                file.write(msgspec.json.encode(_line(record)) + b"\n")
        part.replace(path)
    except OSError as error:
        raise RecordingError(f"cannot write {path}: {error.strerror}") from error
    finally:
        part.unlink(missing_ok=True)
    return count


def read_recording(path: Path) -> Iterator[Record]:
    """Yield the records of a file in its order.

    Raises `RecordingError`, with the line number, for a line that is no record.
    """
    decoder = msgspec.json.Decoder(Line)
    try:
        with path.open("rb") as file:
            for number, text in enumerate(file, start=1):
                try:
                    yield _record(decoder.decode(text))
                except (msgspec.DecodeError, Base64Error, UnicodeDecodeError) as error:
                    raise RecordingError(
                        f"line {number} of {path} is no record: {error}"
                    ) from error
    except OSError as error:
        raise RecordingError(f"cannot read {path}: {error.strerror}") from error


def _line(record: Record) -> Line:
    return Line(
        topic=record.topic,
        partition=record.partition,
        offset=record.offset,
        time=record.timestamp_ms,
        key=_written(record.key),
        value=_written(record.value),
        headers=tuple((name, _written(value)) for name, value in record.headers),
    )


def _record(line: Line) -> Record:
    return Record(
        topic=line.topic,
        partition=line.partition,
        offset=line.offset,
        key=_bytes(line.key),
        value=_bytes(line.value),
        timestamp_ms=line.time,
        headers=tuple((name, _bytes(value) or b"") for name, value in line.headers),
    )


def _written(data: bytes | None) -> Written:
    if data is None:
        return None
    try:
        return data.decode()
    except UnicodeDecodeError:
        return Raw(b64encode(data).decode())


def _bytes(written: Written) -> bytes | None:
    if isinstance(written, Raw):
        return b64decode(written.base64, validate=True)
    return None if written is None else written.encode()
