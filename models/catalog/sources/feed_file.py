"""A feed file: which format it has, its rows, and the events that a mapping makes of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from models.catalog.folder import RawRow
from models.catalog.json_object import check_object, printable
from models.catalog.sources.expression import paths_of
from models.catalog.sources.feeds import FeedFormat
from models.catalog.sources.google_xml import google_xml_rows
from models.catalog.sources.grouped_rows import shopify_rows, woocommerce_rows
from models.catalog.sources.mapping import SourceMapping, map_change
from models.catalog.sources.row_change import RowChange
from models.catalog.sources.table_file import (
    csv_header,
    csv_rows,
    json_rows,
    parquet_columns,
    parquet_rows,
)
from models.catalog.sources.text_file import WESTERN, text_encoding
from models.errors import CatalogError

SHOWN = 20
TABLES = (FeedFormat.CSV, FeedFormat.PARQUET)
"""Formats whose rows all have the same columns, which the mapping of the settings names."""


@dataclass(frozen=True)
class FeedFile:
    """A file and its format; XML, so far, is always Google's."""

    path: Path
    format: FeedFormat

    @property
    def encoding_note(self) -> str:
        """How its text is read, where that was guessed."""
        if self.format in (FeedFormat.PARQUET, FeedFormat.JSONL) or _is_xml(self.path):
            return ""
        guessed = text_encoding(self.path) == WESTERN
        return f", in {WESTERN}, since it is no UTF-8" if guessed else ""

    def rows(self) -> Iterator[RawRow]:
        """Its rows as they are, by line, or by number in XML and Parquet.

        Raises:
            CatalogError: it cannot be read.
        """
        match self.format:
            case FeedFormat.PARQUET:
                yield from parquet_rows(self.path)
            case FeedFormat.JSONL:
                yield from json_rows(self.path)
            case FeedFormat.SHOPIFY:
                yield from shopify_rows(csv_rows(self.path))
            case FeedFormat.WOOCOMMERCE:
                yield from woocommerce_rows(csv_rows(self.path))
            case FeedFormat.GOOGLE if _is_xml(self.path):
                yield from google_xml_rows(self.path)
            case FeedFormat.GOOGLE:
                for row in csv_rows(self.path):
                    fields = {_google_name(name): one for name, one in row.fields.items()}
                    yield RawRow(row.line, fields, row.problem)
            case _:
                yield from csv_rows(self.path)

    def columns(self) -> list[str]:
        """The names of its columns; of JSON lines and XML those of the first rows."""
        if self.format is FeedFormat.PARQUET:
            return parquet_columns(self.path)
        if self.format is FeedFormat.CSV:
            return [name for name in csv_header(self.path) if name]
        names: dict[str, None] = {}
        for _, row in zip(range(100), self.rows(), strict=False):
            names |= dict.fromkeys(row.fields)
        return list(names)


def open_feed(path: Path, given: FeedFormat | None = None) -> FeedFile:
    """The file, with the format that is given or that it looks like.

    Raises:
        CatalogError: there is no such file, or it is empty.
    """
    if not path.is_file():
        raise CatalogError(f"{path} is neither a catalog folder nor a file")
    if not path.stat().st_size:
        raise CatalogError(f"{path} is empty")
    return FeedFile(path, given or _detected(path))


def mapped_rows(feed: FeedFile, mapping: SourceMapping | None) -> Iterator[RawRow]:
    """The events of a feed, by the line of their row, as `raw_products` has those of a folder.

    Without a mapping the rows are events, or products as in products.jsonl.

    Raises:
        CatalogError: the file cannot be read, or lacks a column that the mapping names.
    """
    _check_columns(feed, mapping)
    read = _as_they_are if mapping is None else _mapped(feed, mapping)
    for row in feed.rows():
        if row.problem:
            yield row
            continue
        try:
            fields = read(row)
        except CatalogError as error:
            yield RawRow(row.line, {}, str(error))
        else:
            if fields is not None:
                yield RawRow(row.line, fields)


def _mapped(feed: FeedFile, mapping: SourceMapping) -> Callable[[RawRow], dict[str, object] | None]:
    def read(row: RawRow) -> dict[str, object] | None:
        event = map_change(mapping, RowChange(row=row.fields, closed=feed.format in TABLES))
        return None if event is None else event.fields

    return read


def _as_they_are(row: RawRow) -> dict[str, object]:
    """A row whose columns are an event's; empty cells are left out."""
    return check_object({name: one for name, one in row.fields.items() if one is not None})


def _check_columns(feed: FeedFile, mapping: SourceMapping | None) -> None:
    columns = feed.columns()
    shown = ", ".join(f"`{printable(name, 40)}`" for name in columns[:SHOWN])
    more = ", …" if len(columns) > SHOWN else ""
    if mapping is None:
        if "product_id" not in columns:
            raise CatalogError(
                f"{feed.path} has no column product_id; it has {shown}{more}. "
                f"`lookstream map {feed.path}` proposes what they mean"
            )
        return
    if feed.format not in TABLES:
        return
    named = [path.names[0] for one in mapping.expressions() for path in paths_of(one)]
    if unknown := [name for name in dict.fromkeys(named) if name not in columns]:
        missing = ", ".join(f"`{name}`" for name in unknown)
        raise CatalogError(
            f"{feed.path} has no column {missing}, which catalog.map names; it has {shown}{more}"
        )


def _detected(path: Path) -> FeedFormat:
    with path.open("rb") as file:
        start = file.read(1000)
    suffix = path.suffix.lower()
    if start.startswith(b"PAR1") or suffix == ".parquet":
        return FeedFormat.PARQUET
    if _is_xml(path):
        return FeedFormat.GOOGLE
    if suffix in (".jsonl", ".ndjson") or start.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"{"):
        return FeedFormat.JSONL
    return _detected_by_header({name.lower() for name in csv_header(path)})


def _detected_by_header(names: set[str]) -> FeedFormat:
    if "handle" in names and names & {"variant price", "image src"}:
        return FeedFormat.SHOPIFY
    if "regular price" in names and names & {"id", "sku"}:
        return FeedFormat.WOOCOMMERCE
    if {"id", "image_link"} <= {_google_name(name) for name in names}:
        return FeedFormat.GOOGLE
    return FeedFormat.CSV


def _is_xml(path: Path) -> bool:
    with path.open("rb") as file:
        start = file.read(200)
    text = start.replace(b"\x00", b"").lstrip(b"\xef\xbb\xbf\xff\xfe \t\r\n")
    return text.startswith(b"<")


def _google_name(name: str) -> str:
    """`Image Link`, `g:image_link` as `image_link`."""
    return name.strip().lower().removeprefix("g:").replace(" ", "_")
