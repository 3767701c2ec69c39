"""Where the rows that `lookstream produce` sends come from: a catalog folder, or a feed file."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from models.catalog.folder import PRODUCTS, RawRow, raw_products
from models.catalog.sources.feed_file import mapped_rows, open_feed
from workers.config.catalog import CatalogSettings


@dataclass(frozen=True)
class CatalogSource:
    """Rows that are events, or become some.

    Attributes:
        file: what lines are counted in.
        folder: what the paths of pictures are relative to.
        read: every row, in order; again from the beginning each time.
        mapped: the rows are made here of another program's, so that they are coerced before they
            are sent.
        note: how the file is read.
    """

    file: Path
    folder: Path
    read: Callable[[], Iterator[RawRow]]
    mapped: bool = False
    note: str = ""


def folder_source(folder: Path) -> CatalogSource:
    """A catalog folder."""
    return CatalogSource(folder / PRODUCTS, folder, lambda: raw_products(folder))


def open_source(path: Path, settings: CatalogSettings | None = None) -> CatalogSource:
    """A folder, or a file of any feed format, by the settings' mapping.

    Raises:
        CatalogError: there is neither, or a column that the mapping names is missing.
        MappingError: the mapping does not say what the product's id is.
    """
    if path.is_dir():
        return folder_source(path)
    settings = settings or CatalogSettings()
    feed = open_feed(path, settings.feed_format)
    mapping = settings.feed_mapping(feed.format)
    return CatalogSource(
        path,
        path.parent,
        lambda: mapped_rows(feed, mapping),
        mapped=True,
        note=f"{path} is read as {feed.format.value}{feed.encoding_note}",
    )
