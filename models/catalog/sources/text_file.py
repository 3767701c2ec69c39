"""The text of a feed file, whatever it was saved with."""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from models.errors import CatalogError

_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
WESTERN = "cp1252"
"""What Windows programs of western Europe and America write; a superset of printable ISO 8859-1."""
CHUNK = 1 << 20


def text_encoding(path: Path) -> str:
    """By its byte-order mark; else UTF-8 if all of it is, and `WESTERN` otherwise."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    with path.open("rb") as file:
        start = file.read(4)
        for mark, name in _MARKS:
            if start.startswith(mark):
                return name
        file.seek(0)
        try:
            while chunk := file.read(CHUNK):
                decoder.decode(chunk)
            decoder.decode(b"", final=True)
        except UnicodeDecodeError:
            return WESTERN
    return "utf-8"


@contextmanager
def open_text(path: Path, encoding: str) -> Iterator[TextIO]:
    """The file as text, with its line ends as they are.

    Raises:
        CatalogError: a byte is of no character of the encoding.
    """
    with path.open(encoding=encoding, newline="") as file:
        try:
            yield file
        except UnicodeDecodeError as error:
            raise CatalogError(
                f"{path} is neither UTF-8 nor {WESTERN}: save it as UTF-8"
            ) from error
