"""Rows of files that are tables: CSV with any separator, JSON lines, Parquet.

A cell that is empty is null. A row with more or fewer cells than the header is a problem of its
own: a separator in a text without quotes, or a file that broke off.
"""

from __future__ import annotations

import codecs
import csv
import importlib
from collections.abc import Iterator
from datetime import date, datetime, time
from decimal import Decimal
from pathlib import Path
from typing import Any

from models.catalog.folder import RawRow
from models.catalog.json_object import printable, read_object
from models.catalog.sources.text_file import open_text, text_encoding
from models.errors import CatalogError

SEPARATORS = "\t;,|"
MAX_CELL = 1_000_000
"""Characters."""
PARQUET = "reading Parquet needs pyarrow: pip install 'lookstream[parquet]'"


def csv_header(path: Path) -> list[str]:
    """The names of the columns.

    Raises:
        CatalogError: there are none, or two have the same name.
    """
    with open_text(path, text_encoding(path)) as file:
        line = file.readline(MAX_CELL)
        names = [name.strip() for name in next(csv.reader([line], delimiter=_separator(line)), [])]
    if not any(names):
        raise CatalogError(f"{path} has no header: its first line names the columns")
    twice = {name for name in names if name and names.count(name) > 1}
    if twice:
        raise CatalogError(f"{path} has two columns {printable(min(twice))!r}: rename one")
    return names


def csv_rows(path: Path) -> Iterator[RawRow]:
    """The rows of a table with a header, by the line that each begins in."""
    names = csv_header(path)
    csv.field_size_limit(MAX_CELL)
    with open_text(path, text_encoding(path)) as file:
        first = file.readline(MAX_CELL)
        reader = csv.reader(file, delimiter=_separator(first))
        line = 2
        while True:
            try:
                cells = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                yield RawRow(line, {}, f"the row cannot be read: {error}")
                cells = []
            if len(cells) not in (0, len(names)):
                yield RawRow(
                    line,
                    {},
                    f"the row has {len(cells)} cells, and the header {len(names)}: put texts with "
                    "a separator or a line break in quotes",
                )
            elif any(cells):
                row: dict[str, object] = {
                    name: cell or None for name, cell in zip(names, cells, strict=True) if name
                }
                yield RawRow(line, row)
            line = reader.line_num + 2


def json_rows(path: Path) -> Iterator[RawRow]:
    """One JSON object a line, by the number of the line."""
    with path.open("rb") as file:
        for line, text in enumerate(file, start=1):
            stripped = (text.removeprefix(codecs.BOM_UTF8) if line == 1 else text).strip()
            if not stripped:
                continue
            try:
                yield RawRow(line, read_object(stripped))
            except CatalogError as error:
                yield RawRow(line, {}, str(error))


def parquet_columns(path: Path) -> list[str]:
    """The names of the columns; raises CatalogError without pyarrow, and for a damaged file."""
    return list(_parquet(path).schema_arrow.names)


def parquet_rows(path: Path) -> Iterator[RawRow]:
    """The rows, by their number."""
    number = 0
    for batch in _parquet(path).iter_batches(batch_size=1000):
        for row in batch.to_pylist():
            number += 1
            yield RawRow(number, {name: _json_value(one) for name, one in row.items()})


def _parquet(path: Path) -> Any:
    try:
        pyarrow = importlib.import_module("pyarrow")
        parquet = importlib.import_module("pyarrow.parquet")
    except ImportError as error:
        raise CatalogError(PARQUET) from error
    try:
        return parquet.ParquetFile(path)
    except (pyarrow.ArrowException, OSError) as error:
        raise CatalogError(f"{path} is no Parquet file: {error}") from error


def _json_value(value: Any) -> Any:
    match value:
        case Decimal():
            return float(value)
        case datetime() | date() | time():
            return value.isoformat()
        case bytes():
            return value.decode(errors="replace")
        case dict():
            return {name: _json_value(one) for name, one in value.items()}
        case list():
            return [_json_value(one) for one in value]
    return value


def _separator(header: str) -> str:
    """The one that occurs most in the header, outside of quotes."""
    outside = "".join(header.split('"')[::2])
    return max(SEPARATORS, key=outside.count)
